import LinkspanBridgeKit
import LinkspanCore
import TestSupport
import Testing

extension NameRules {
    fileprivate static let mqtt = NameRules(
        reserved: Set("+#".utf8), escapesControls: true, escapesLeadingDollar: true, lengthLimit: 1024,
        separatorLimit: 64)
    fileprivate static let redis = NameRules(reserved: [], escapesControls: false, lengthLimit: 4096)
    fileprivate static let amqp = NameRules(
        reserved: Set("*#".utf8), escapesControls: true, separator: UInt8(ascii: "."), lengthLimit: 255)
}

@Suite struct BridgingNameTemplateTests {
    private let mqtt: NameTemplate
    private let redis: NameTemplate
    private let amqp: NameTemplate

    init() throws {
        self.mqtt = try NameTemplate("sc/{channel}", rules: .mqtt)
        self.redis = try NameTemplate("sc:{channel}", rules: .redis)
        self.amqp = try NameTemplate("sc.{channel}", rules: .amqp)
    }

    @Test(arguments: [
        ("chat/room 1", "sc/chat/room 1", "sc.chat.room 1"),
        ("a//b", "sc/a//b", "sc.a..b"),
        ("/a", "sc//a", "sc..a"),
        ("a/", "sc/a/", "sc.a."),
        ("a.b", "sc/a.b", "sc.a%2Eb"),
        ("a%2Eb", "sc/a%252Eb", "sc.a%252Eb"),
        ("+", "sc/%2B", "sc.+"),
        ("#", "sc/%23", "sc.%23"),
        ("*", "sc/*", "sc.%2A"),
        ("$x", "sc/$x", "sc.$x"),
        ("caf\u{E9}", "sc/caf\u{E9}", "sc.caf\u{E9}"),
        ("😀", "sc/😀", "sc.😀"),
        ("a\u{0}b", "sc/a%00b", "sc.a%00b"),
        ("\u{85}", "sc/%C2%85", "sc.%C2%85"),
        ("[x]~", "sc/[x]~", "sc.[x]~"),
        ("", "sc/", "sc."),
    ])
    func `names are escaped as the upstream needs and come back`(channel: String, topic: String, key: String) {
        let name = ChannelName(channel)
        #expect(self.mqtt.encode(name) == topic)
        #expect(self.mqtt.decode(topic) == name)
        #expect(self.amqp.encode(name) == key)
        #expect(self.amqp.decode(key) == name)
        #expect(self.redis.decode(self.redis.encode(name) ?? "") == name)
    }

    @Test func `noncharacters are escaped`() throws {
        var channel = ""
        for value in [0xFFFF, 0xFDD0, 0x1FFFE] as [UInt32] {
            channel.unicodeScalars.append(try #require(Unicode.Scalar(value)))
        }
        #expect(self.mqtt.encode(ChannelName(channel)) == "sc/%EF%BF%BF%EF%B7%90%F0%9F%BF%BE")
        #expect(self.mqtt.decode("sc/%EF%BF%BF%EF%B7%90%F0%9F%BF%BE") == ChannelName(channel))
    }

    @Test func `a leading dollar is escaped only where it starts the name`() throws {
        let bare = try NameTemplate("{channel}", rules: .mqtt)
        #expect(bare.encode("$SYS/x") == "%24SYS/x")
        #expect(bare.encode("a$") == "a$")
        #expect(bare.decode("%24SYS/x") == "$SYS/x")
        #expect(bare.decode("$SYS/x") == nil)
        #expect(bare.encode("") == nil)
    }

    @Test func `past the separator limit slashes are escaped`() {
        let channel = ChannelName(String(repeating: "/", count: 70))
        let topic = self.mqtt.encode(channel)
        #expect(topic == "sc/" + String(repeating: "/", count: 64) + String(repeating: "%2F", count: 6))
        #expect(topic.flatMap { self.mqtt.decode($0) } == channel)
    }

    @Test func `a name that does not fit is refused and never cut`() {
        #expect(self.amqp.encode(ChannelName(String(repeating: "a", count: 252)))?.utf8.count == 255)
        #expect(self.amqp.encode(ChannelName(String(repeating: "a", count: 253))) == nil)
        #expect(self.amqp.encode(ChannelName(String(repeating: "*", count: 85))) == nil)
        #expect(self.mqtt.encode(ChannelName(String(repeating: "a", count: 1024))) == nil)
    }

    @Test(arguments: ["other/a", "sc", "", "sc/%2b", "sc/%41", "sc/%", "sc/%4", "sc/%zz", "sc/a+b", "sc/%FF", "sc/%C3"])
    func `a name that no channel has is refused`(topic: String) {
        #expect(self.mqtt.decode(topic) == nil)
    }

    @Test func `a suffix belongs to the template`() throws {
        let template = try NameTemplate("sites/fra/{channel}/sc", rules: .mqtt)
        #expect(template.encode("a/b") == "sites/fra/a/b/sc")
        #expect(template.decode("sites/fra/a/b/sc") == "a/b")
        #expect(template.decode("sites/fra/a/b") == nil)
        #expect(template.decode("sites/fra/sc") == nil)
    }

    @Test(arguments: [
        "sc", "", "{channel}/{channel}", "sc/#/{channel}", "+/{channel}", "$share/{channel}", "a\u{0}{channel}",
        "{Channel}",
    ])
    func `a template that cannot be mapped back is an error`(template: String) {
        #expect(throws: NameTemplateError.self) { try NameTemplate(template, rules: .mqtt) }
    }

    @Test func `a template longer than the upstream allows is an error`() {
        #expect(throws: NameTemplateError.self) {
            try NameTemplate(String(repeating: "a", count: 255) + "{channel}", rules: .amqp)
        }
    }

    @Test func `random names of all kinds come back and never collide`() {
        var random = SeededRandom()
        for template in [self.mqtt, self.redis, self.amqp] {
            var channels: [UTF8Text: ChannelName] = [:]
            for _ in 0..<3000 {
                let channel = ChannelName(Self.randomName(using: &random))
                guard let name = template.encode(channel) else { continue }
                #expect(template.decode(name) == channel, "seed \(random.seed): \(channel.string.debugDescription)")
                if let other = channels.updateValue(channel, forKey: UTF8Text(name)) { #expect(other == channel) }
                #expect(
                    name.unicodeScalars.dropFirst(3).allSatisfy { scalar in
                        UInt8(exactly: scalar.value).map { !template.rules.reserved.contains($0) } ?? true
                    })
            }
        }
    }

    @Test func `the name of a channel starts with the name of its prefix`() {
        var random = SeededRandom()
        for template in [self.mqtt, self.redis, self.amqp] {
            for _ in 0..<1000 {
                let channel = Self.randomName(using: &random)
                guard let name = template.encode(ChannelName(channel)) else { continue }
                let count = Int.random(in: 0...channel.unicodeScalars.count, using: &random)
                let prefix = String(channel.unicodeScalars.prefix(count))
                #expect(name.utf8.starts(with: template.encodePrefix(prefix).utf8), "seed \(random.seed)")
            }
        }
    }

    private static func randomName(using random: inout SeededRandom) -> String {
        var name = String.UnicodeScalarView()
        for _ in 0..<Int.random(in: 0...20, using: &random) {
            let value =
                switch Int.random(in: 0..<4, using: &random) {
                case 0: UInt32.random(in: 0...0x10FFFF, using: &random)
                case 1: UInt32.random(in: 0...0x17F, using: &random)
                default: UInt32("%/+#*.$ab2F".utf8.randomElement(using: &random) ?? 0)
                }
            if let scalar = Unicode.Scalar(value) { name.append(scalar) }
        }
        return String(name)
    }

    /// A key that, unlike `String`, keeps equivalent spellings apart.
    private struct UTF8Text: Hashable {
        let bytes: [UInt8]
        init(_ text: String) { self.bytes = Array(text.utf8) }
    }
}

@Suite struct BridgingIngressNamesTests {
    @Test func `an answer names the channel or why there is none`() throws {
        let template = try NameTemplate("sc/{channel}", rules: .mqtt)
        var names = IngressNames(
            template: template, selector: ChannelSelector(include: [try Glob("plant/**")]), generationLimit: 2)
        for _ in 0..<3 {
            #expect(names.answer(for: "sc/plant/1") == .channel("plant/1"))
            #expect(names.answer(for: "sc/chat") == .refused(.notMatched))
            #expect(names.answer(for: "sc/%") == .refused(.badName))
            #expect(names.answer(for: "sc/$linkspan/events/subscribe") == .refused(.reserved))
            #expect(names.answer(for: "sc/plant/2") == .channel("plant/2"))
        }
    }

    @Test func `a rule that takes nothing in refuses every name`() throws {
        var names = IngressNames(template: try NameTemplate("sc/{channel}", rules: .mqtt), selector: nil)
        #expect(names.answer(for: "sc/a") == .refused(.notMatched))
    }
}
