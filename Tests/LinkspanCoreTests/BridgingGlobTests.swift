import LinkspanBridgeKit
import LinkspanCore
import TestSupport
import Testing

@Suite struct BridgingGlobTests {
    @Test(arguments: [
        ("**", ["", "a", "a/b", "/"], []),
        ("*", ["", "a", "a b"], ["a/b", "/"]),
        ("news", ["news"], ["new", "newss", "news/", "News"]),
        ("plant/**", ["plant/", "plant/a", "plant/a/b"], ["plant", "planta", "Plant/a"]),
        ("plant/*", ["plant/", "plant/a"], ["plant/a/b", "plant"]),
        ("*/state", ["a/state", "/state"], ["a/b/state", "state"]),
        ("**/state", ["a/state", "a/b/state", "/state"], ["state", "a/states"]),
        ("a*b*c", ["abc", "axbxc", "abbcc"], ["ab", "a/bc", "abxc/"]),
        ("a/*/c/**", ["a/b/c/", "a/b/c/d/e"], ["a/b/b/c/d", "a/c/d"]),
        ("?", ["a", "é", "😀"], ["", "ab", "/"]),
        ("a?c", ["abc", "a😀c"], ["ac", "a/c", "abbc"]),
        ("\\*", ["*"], ["a", "", "\\*"]),
        ("a\\?\\\\", ["a?\\"], ["ab\\", "a?"]),
        ("***", ["", "a/b"], []),
        ("*a/*b", ["xa/yb", "a/b"], ["x/a/b", "xa/y/b"]),
    ])
    func `patterns match what the configuration page says`(pattern: String, yes: [String], no: [String]) throws {
        let glob = try Glob(pattern)
        for name in yes { #expect(glob.matches(name), "\(pattern) should match \(name)") }
        for name in no { #expect(!glob.matches(name), "\(pattern) should not match \(name)") }
    }

    @Test func `canonically equivalent names are two names`() throws {
        let glob = try Glob("caf\u{E9}")
        #expect(glob.matches("caf\u{E9}"))
        #expect(!glob.matches("cafe\u{301}"))
    }

    @Test func `an empty pattern and a lone backslash are errors`() {
        #expect(throws: GlobError.self) { try Glob("") }
        #expect(throws: GlobError.self) { try Glob("a\\") }
        #expect(throws: GlobError.self) { try Glob(String(repeating: "a", count: Glob.byteLimit + 1)) }
    }

    @Test func `the literal prefix ends before the first wildcard`() throws {
        #expect(try Glob("plant/a\\*b/*/c").literalPrefix == "plant/a*b/")
        #expect(try Glob("a\\?").isLiteral)
        #expect(try !Glob("a?").isLiteral)
    }

    @Test(.timeLimit(.minutes(1))) func `a pattern full of stars does not blow up`() throws {
        let glob = try Glob(String(repeating: "*a", count: 60) + "b")
        #expect(!glob.matches(String(repeating: "a", count: 2000)))
        let paths = try Glob(String(repeating: "**/*a", count: 30) + "b")
        #expect(!paths.matches(String(repeating: "a/", count: 1000)))
    }

    @Test func `it agrees with plain recursion`() throws {
        var random = SeededRandom()
        for _ in 0..<5000 {
            let pattern = (0..<Int.random(in: 1...7, using: &random)).map { _ in
                ["a", "b", "/", "*", "**", "?"].randomElement(using: &random) ?? "a"
            }
            let name = (0..<Int.random(in: 0...8, using: &random)).map { _ in
                ["a", "b", "/"].randomElement(using: &random) ?? "a"
            }.joined()
            let expected = Self.matches(Self.collapsed(pattern)[...], Array(name)[...])
            let found = try Glob(pattern.joined()).matches(name)
            #expect(found == expected, "seed \(random.seed): \(pattern.joined()) and \(name)")
        }
    }

    /// Neighbouring stars are one `**`.
    private static func collapsed(_ pattern: [String]) -> [String] {
        pattern.reduce(into: []) { tokens, token in
            if token.hasPrefix("*"), tokens.last?.hasPrefix("*") == true {
                tokens[tokens.count - 1] = "**"
            } else {
                tokens.append(token)
            }
        }
    }

    private static func matches(_ pattern: ArraySlice<String>, _ name: ArraySlice<Character>) -> Bool {
        guard let token = pattern.first else { return name.isEmpty }
        let rest = pattern.dropFirst()
        switch token {
        case "**":
            return (0...name.count).contains { self.matches(rest, name.dropFirst($0)) }
        case "*":
            let run = name.prefix { $0 != "/" }.count
            return (0...run).contains { self.matches(rest, name.dropFirst($0)) }
        case "?":
            return name.first.map { $0 != "/" } == true && self.matches(rest, name.dropFirst())
        default:
            return name.first.map(String.init) == token && self.matches(rest, name.dropFirst())
        }
    }

    @Test func `a selector takes one of include and none of exclude`() throws {
        let selector = ChannelSelector(
            include: [try Glob("plant/**"), try Glob("news")], exclude: [try Glob("plant/internal/**")])
        #expect(selector.contains("plant/1"))
        #expect(selector.contains("news"))
        #expect(!selector.contains("plant/internal/ops"))
        #expect(!selector.contains("chat"))
    }
}
