internal import LinkspanConfig
internal import TestSupport
internal import Testing

/// Files that nobody writes with good intentions: each is refused in bounded time, with words.
struct HostileDocumentTests {
    @Test func `an alias bomb is stopped by what it would become`() {
        var text = "version: 1\na0: &a0 [ x, x, x, x, x, x, x, x, x, x ]\n"
        for level in 1...30 {
            text +=
                "a\(level): &a\(level) [ \(Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ", ")) ]\n"
        }
        #expect(complaints(text) == "bridges.yaml:6:26: more than 50000 values, with what aliases repeat")
    }

    @Test func `deep nesting is stopped, in flow and in block style`() {
        let flow = "version: 1\nserver: " + String(repeating: "[", count: 100_000)
        #expect(complaints(flow) == "bridges.yaml:2:10: nested too deeply")
        let block = (0..<200).map { String(repeating: " ", count: $0) + "a:\n" }.joined()
        #expect(complaints(block) == "bridges.yaml:33:33: nested deeper than 32 levels")
        let keys = "version: 1\n" + String(repeating: "? ", count: 10_000)
        #expect(complaints(keys).hasPrefix("bridges.yaml:2:3: "))
    }

    @Test func `a huge file is not parsed`() {
        let text = "version: 1\n#" + String(repeating: "x", count: 1 << 20)
        #expect(complaints(text) == "bridges.yaml: the file has 1048588 bytes; a configuration may have 1048576")
    }

    @Test func `a file that is no text is refused`() throws {
        let folder = try TestFolder("config")
        let path = try folder.write("\u{0}\u{1}\u{2}", to: "binary.yaml")
        #expect(throws: ConfigurationRejected.self) { try loader().load(file: path) }
        let missing = folder.file("missing.yaml")
        do {
            _ = try loader().load(file: missing)
            Issue.record("a missing file was taken")
        } catch {
            #expect(
                error.description
                    == "\(missing): cannot be read: No such file or directory\n    give another file with --config FILE"
            )
        }
    }

    @Test func `every problem of a file is told at once, in its order`() {
        let text = """
            version: 1
            server:
              clients: { host: 1883, port: x }
              limits: { message: 10 }
            bridges:
              one: { broker: none, retry: { max: 3 }, nmae: x }
            """
        let lines = complaints(text).split(separator: "\n").filter { $0.hasPrefix("bridges.yaml") }
        #expect(lines.count == 6)
        let places = lines.map { $0.split(separator: ":")[1...2].map { Int($0) ?? 0 } }
        #expect(places.elementsEqual(places.sorted { ($0[0], $0[1]) < ($1[0], $1[1]) }))
    }

    @Test func `random documents never crash the reader`() {
        var random = SeededRandom(for: "random documents")
        let pieces = [
            "version", "1", "server", "bridges", "brokers", "instance", "clients", "port", "host", ": ", ":", "\n",
            "\n  ", "\n    ",
            "\n      ", "- ", "[", "]", "{", "}", ", ", "\"", "'", "&a ", "*a", "!!str ", "| ", "> ", "#", "${A}", "${",
            "$$", "\t",
            "type", "plain", "urls", "plain://h", "é", "\u{1F600}", "\u{0}", "\u{85}", "---", "...", "? ", "%YAML 1.1",
            "yes", "~",
            "5s", "1MiB", "channels", "**", "<<", "\\", "\"\\x\"", "one", "broker", "hub",
        ]
        for _ in 0..<3000 {
            let text = (0..<Int.random(in: 0...60, using: &random)).map { _ in
                pieces.randomElement(using: &random) ?? ""
            }.joined()
            _ = complaints(text)
        }
    }

    @Test func `random mutations of a right file never crash the reader`() {
        var random = SeededRandom(for: "random mutations")
        let right = Array(
            withBridge("channels: [ \"a/**\" ]", "retry: { initial: 1s, max: 2s }", "name: \"x/{channel}\"")
                .unicodeScalars)
        for _ in 0..<2000 {
            var text = right
            for _ in 0...Int.random(in: 0...4, using: &random) {
                let index = Int.random(in: 0..<text.count, using: &random)
                switch Int.random(in: 0...2, using: &random) {
                case 0: text.remove(at: index)
                case 1: text[index] = Unicode.Scalar(UInt8.random(in: 0...127, using: &random))
                default: text.insert(text[Int.random(in: 0..<text.count, using: &random)], at: index)
                }
            }
            _ = complaints(String(String.UnicodeScalarView(text)))
        }
    }
}
