import LinkspanConfig
import LinkspanCore
import Testing

/// What is told of bridges that meet, in one file and over several.
@Suite struct TopologyTests {
    private static let brokers = """
        version: 1
        instance: { id: one }
        brokers:
          hub: { type: plain, urls: [ "plain://hub.example" ] }
          spare: { type: plain, urls: [ "plain://spare.example" ] }
          keep: { type: plain, urls: [ "plain://hub.example" ], plain: { mode: streams } }
        bridges:

        """

    private static func file(_ bridges: String...) -> String {
        Self.brokers + bridges.map { "  \($0)\n" }.joined()
    }

    struct Case: CustomTestStringConvertible, Sendable {
        var testDescription: String
        var bridges: [String]
        var complaint: String

        init(_ name: String, _ bridges: String..., complaint: String) {
            self.testDescription = name
            self.bridges = bridges
            self.complaint = complaint
        }
    }

    @Test(arguments: [
        Case("one bridge", "a: { broker: hub }", complaint: ""),
        Case(
            "disjoint channels at one broker", "a: { broker: hub, channels: [ \"a/**\" ] }",
            "b: { broker: hub, channels: [ \"b/**\" ] }", complaint: ""),
        Case("one broker in two modes", "a: { broker: hub }", "b: { broker: keep }", complaint: ""),
        Case(
            "two brokers with transit both ways", "a: { broker: hub, transit: [ b ] }",
            "b: { broker: spare, transit: [ a ] }", complaint: ""),
        Case(
            "loop over one broker", "a: { broker: hub, direction: in }",
            "b: { broker: hub, direction: out, transit: [ a ] }",
            complaint: """
                bridges.yaml:9:37: bridges "a" and "b" form a loop: hub sc/{channel} -> a(in) -> b(out, transit a) -> hub sc/{channel}
                    channel "x", for example, would go back to where it came from; take out one transit
                """),
        Case(
            "two bridges in one group",
            "a: { broker: keep, channels: a, direction: in, consume: one_of, group: work }",
            "b: { broker: keep, channels: b, direction: in, consume: one_of, group: work }",
            complaint: """
                bridges.yaml:9:67: bridges "a" and "b" are in one group at broker "keep", and each keeps from the other what it is given
                    give each a group of its own
                """),
        Case(
            "two groups", "a: { broker: keep, channels: a, direction: in, consume: one_of }",
            "b: { broker: keep, channels: b, direction: in, consume: one_of }", complaint: ""),
        Case(
            "everything excluded", "a: { broker: hub, channels: { include: [ \"a/*\" ], exclude: [ \"a/**\" ] } }",
            complaint: "bridges.yaml:8:21: bridge \"a\" matches no channel: all that it includes is excluded again"),
        Case(
            "exclude without effect", "a: { broker: hub, channels: { include: [ \"a/*\" ], exclude: [ \"b/*\" ] } }",
            complaint:
                "bridges.yaml:8:53: warning: bridge \"a\": exclude \"b/*\" matches nothing that is included"),
        Case(
            "transit of a bridge that sends only", "a: { broker: hub, direction: out }",
            "b: { broker: spare, transit: [ a ] }",
            complaint:
                "bridges.yaml:9:23: warning: bridge \"b\": transit of \"a\" carries nothing: \"a\" receives nothing (direction out)"
        ),
        Case(
            "transit of other channels", "a: { broker: hub, channels: [ \"a/**\" ] }",
            "b: { broker: spare, channels: [ \"b/**\" ], transit: [ a ] }",
            complaint:
                "bridges.yaml:9:45: warning: bridge \"b\": transit of \"a\" carries nothing: the two have no channel in common"
        ),
        Case(
            "carried twice", "a: { broker: hub }", "b: { broker: hub, channels: [ \"news/*\" ] }",
            complaint: """
                bridges.yaml:9:21: warning: bridges "a" and "b" both carry channel "news/" at broker "hub"
                    messages of external publishers have no id and arrive twice; exclude the channels from one of them
                """),
        Case(
            "sent twice", "a: { broker: hub }", "b: { broker: hub, direction: out }",
            complaint: """
                bridges.yaml:9:3: warning: bridges "a" and "b" both send channel "x" at broker "hub"
                    external consumers get each message twice; exclude the channels from one of them
                """),
        Case(
            "colliding names", "a: { broker: hub, name: \"sc/{channel}\" }",
            "b: { broker: hub, name: \"sc/x/{channel}\" }",
            complaint: """
                bridges.yaml:9:3: bridges "a" and "b" give two channels one name at broker "hub": "x/y" and "y" are both sc/x/y
                    choose names of which none is the beginning of the other
                """),
        Case(
            "names that differ at the end", "a: { broker: hub, name: \"sc/{channel}/a\" }",
            "b: { broker: hub, name: \"sc/{channel}/b\" }", complaint: ""),
        Case("several brokers of one bridge", "a: { brokers: [ hub, spare ] }", complaint: ""),
        Case(
            "broker and brokers", "a: { broker: hub, brokers: [ spare ] }",
            complaint: """
                bridges.yaml:8:21: bridge "a": both broker and brokers
                    broker names one, brokers several that all carry the same messages
                """),
        Case(
            "a broker twice, and one that is not known", "a: { brokers: [ hub, hub, spar ] }",
            complaint: """
                bridges.yaml:8:24: bridge "a": brokers names "hub" twice
                bridges.yaml:8:29: bridge "a": unknown broker "spar"
                    did you mean "spare"?  known: hub, keep, spare
                """),
        Case(
            "a promise that one of several brokers cannot keep",
            "a: { brokers: [ keep, hub ], guarantee: at_least_once }",
            complaint: """
                bridges.yaml:8:32: bridge "a@hub": guarantee: at_least_once is not possible with plain mode pubsub
                    choose plain mode streams, or guarantee at_most_once
                """),
    ])
    func `bridges of one file`(_ test: Case) {
        let bridges = test.bridges.map { "  \($0)\n" }.joined()
        #expect(complaints(Self.brokers + bridges) == test.complaint)
    }

    @Test func `a bridge with several brokers becomes a link to each, and transit of it means them all`() throws {
        let settings = try settings(
            Self.file("a: { brokers: [ hub, spare ] }", "b: { broker: keep, transit: [ a ] }"))
        #expect(settings.bridges.map(\.name) == ["a@hub", "a@spare", "b"])
        #expect(settings.bridges.map(\.upstream) == ["hub", "spare", "keep"])
        #expect(settings.bridges.map(\.declaration) == ["a", "a", "b"])
        #expect(settings.bridges[2].transit == ["a@hub", "a@spare"])
    }

    // MARK: Several files

    private static func together(_ files: (name: String, broker: [String: String], bridges: [String])...) throws
        -> [String]
    {
        let configurations = try files.map { file in
            let brokers = file.broker.sorted { $0.key < $1.key }.map {
                "  \($0.key): { type: plain, urls: [ \"plain://\($0.value)\" ], plain: { mode: streams } }\n"
            }
            let text =
                "version: 1\ninstance: { id: \(file.name.prefix { $0 != "." }) }\nbrokers:\n\(brokers.joined())bridges:\n"
                + file.bridges.map { "  \($0)\n" }.joined()
            return try loader().load(text, fileName: file.name)
        }
        return zip(files, TopologyReading.findings(in: configurations)).flatMap { file, found in
            found.map { $0.text(fileName: file.name) }
        }
    }

    @Test func `two sites at one broker are what it is for`() throws {
        #expect(
            try Self.together(
                ("a.yaml", ["hub": "h1"], ["up: { broker: hub }"]), ("b.yaml", ["far": "h1"], ["up: { broker: far }"])
            ) == [])
    }

    @Test func `a ring of three sites is told as a loop that hops stop`() throws {
        let told = try Self.together(
            (
                "a.yaml", ["ab": "h1", "ca": "h3"],
                ["l: { broker: ab, transit: [ r ] }", "r: { broker: ca, transit: [ l ] }"]
            ),
            (
                "b.yaml", ["ab": "h1", "bc": "h2"],
                ["l: { broker: ab, transit: [ r ] }", "r: { broker: bc, transit: [ l ] }"]
            ),
            (
                "c.yaml", ["bc": "h2", "ca": "h3"],
                ["l: { broker: bc, transit: [ r ] }", "r: { broker: ca, transit: [ l ] }"]
            )
        )
        #expect(told.contains { $0.contains("form a loop") && $0.contains("hops stop each message") })
        #expect(told.contains { $0.contains("reaches c.yaml on two ways") })
        #expect(told.allSatisfy { $0.contains("warning: ") })
    }

    @Test func `two ways between two sites are told, unless one bridge has both brokers`() throws {
        let brokers = ["hub": "h1", "spare": "h2"]
        let separate = ["up: { broker: hub }", "more: { broker: spare }"]
        #expect(
            try Self.together(("a.yaml", brokers, separate), ("b.yaml", brokers, separate)) == [
                """
                a.yaml:8:3: warning: channel "x", for example, reaches b.yaml on two ways: a.yaml up -> hub, and a.yaml more -> spare
                    receivers drop the second copy; where redundancy is meant, one bridge with brokers: [...] says so
                """
            ])
        let redundant = ["up: { brokers: [ hub, spare ] }"]
        #expect(try Self.together(("a.yaml", brokers, redundant), ("b.yaml", brokers, redundant)) == [])
    }

    @Test func `one name for two channels is told between sites`() throws {
        #expect(
            try Self.together(
                ("a.yaml", ["hub": "h1"], ["up: { broker: hub }"]),
                ("b.yaml", ["hub": "h1"], ["up: { broker: hub, name: \"sc/b/{channel}\" }"])
            ) == [
                """
                b.yaml:6:3: warning: bridge "up" and bridge "up" of a.yaml give two channels one name: "b/x" and "x" are both sc/b/x
                    give both the same name template, unless one channel is meant to be the other
                """
            ])
    }

    @Test func `members of a group that carry different channels are told`() throws {
        func member(_ channels: String) -> [String] {
            ["up: { broker: hub, channels: \(channels), direction: in, consume: one_of }"]
        }
        #expect(
            try Self.together(("a.yaml", ["hub": "h1"], member("a")), ("b.yaml", ["hub": "h1"], member("a"))) == [])
        #expect(
            try Self.together(("a.yaml", ["hub": "h1"], member("a")), ("b.yaml", ["hub": "h1"], member("b"))) == [
                """
                b.yaml:6:22: warning: bridge "up" is in a group with bridge "up" of a.yaml, and carries other channels or names
                    what a member is given and does not carry, the others do not get
                """
            ])
    }

    @Test func `two files of one instance are told`() throws {
        #expect(
            try Self.together(
                ("a.yaml", ["hub": "h1"], ["up: { broker: hub }"]),
                ("a.prod.yaml", ["hub": "h2"], ["up: { broker: hub }"])
            ) == [
                """
                a.prod.yaml:2:13: warning: instance "a" is declared in a.yaml, too
                    instances with one id drop each other's messages; give each its own
                """
            ])
    }
}
