import TestSupport
import Testing

@testable import LinkspanCore

@Suite struct TopologyChannelSearchTests {
    private static func search(_ areas: (include: [String], exclude: [String])...) throws -> ChannelSearch.Outcome {
        ChannelSearch.text(
            inAll: try areas.map {
                ChannelSearch.Area(include: try $0.include.map(Glob.init), exclude: try $0.exclude.map(Glob.init))
            })
    }

    @Test func `an example lies in every area, and is a shortest one`() throws {
        #expect(try Self.search((["a/**"], []), (["**/b"], [])) == .example("a/b"))
        #expect(try Self.search((["plant/*"], ["plant/x"])) == .example("plant/"))
        #expect(try Self.search((["?"], [])) == .example("x"))
        #expect(try Self.search((["x", "y"], ["x"])) == .example("y"))
    }

    @Test func `disjoint areas have none`() throws {
        #expect(try Self.search((["a/*"], []), (["b/*"], [])) == .nothing)
        #expect(try Self.search((["a/*"], []), (["a/*/c"], [])) == .nothing)
        #expect(try Self.search((["plant/**"], ["**"])) == .nothing)
        #expect(try Self.search((["plant/*"], ["plant/**"])) == .nothing)
        #expect(try Self.search((["a", "b"], ["?"])) == .nothing)
        #expect(try Self.search((["\\*"], ["\\*"])) == .nothing)
    }

    @Test func `a search that would not end in time says so`() throws {
        let pattern = "**a" + String(repeating: "?", count: 24)
        #expect(try Self.search(([pattern], []), (["**b" + String(repeating: "?", count: 23)], ["**"])) == .undecided)
    }

    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func `examples match, and where none is found no short name matches`(_ seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let letters = ["a", "b", "/", "*", "**", "?"]
        let names = ["a", "b", "/"].reduce(into: [""]) { names, _ in
            names += names.flatMap { name in ["a", "b", "/", "x"].map { name + $0 } }
        }
        for _ in 0..<60 {
            let globs = try (0..<3).map { _ in
                try Glob(
                    (0..<Int.random(in: 1...4, using: &random)).map { _ in letters.randomElement(using: &random) ?? "a"
                    }.joined())
            }
            let outcome = ChannelSearch.text(inAll: [
                ChannelSearch.Area(include: [globs[0]], exclude: [globs[2]]), ChannelSearch.Area(include: [globs[1]]),
            ])
            let matches = { (name: String) in
                globs[0].matches(name) && globs[1].matches(name) && !globs[2].matches(name)
            }
            switch outcome {
            case .example(let name): #expect(matches(name), "\(globs) \(name)")
            case .nothing: #expect(!names.contains { !$0.isEmpty && matches($0) }, "\(globs)")
            case .undecided: Issue.record("\(globs) was not decided")
            }
        }
    }
}
