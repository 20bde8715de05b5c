internal import LinkspanBridgeKit

/// The checked settings of one MQTT bridge, as a conversation needs them.
struct ConversationPlan: Sendable {
    enum ProtocolVersion: String, Sendable {
        case v5 = "5"
        case v311 = "3.1.1"
    }

    var bridge: String
    var clientID: String
    var version: ProtocolVersion
    /// Of what we publish and of what we subscribe to.
    var qos: Int32
    var keepsSession: Bool
    /// Whether anything is subscribed to.
    var receives: Bool
    /// Seconds, 5 to 3,600: libmosquitto refuses less.
    var keepalive: Int32
    /// Seconds that the broker keeps the session after we are gone.
    var sessionExpiry: UInt32
    /// Most messages under way.
    var window: Int
    var connectTimeout: Duration
    var retains: Bool
    /// Whether a publish that no subscription matches counts as lost.
    var isMandatory: Bool
    var username: String?
    var password: Secret?
    var tls: TLSFiles
    /// The group that shares what arrives, and the names that each instance gets all the same.
    var group: String?
    var unsharedNames: Set<String>

    init(settings: BridgeSettings) throws(ConfigurationError) {
        var problems: [ConfigurationError.Problem] = []
        let atLeastOnce = settings.guarantee == .atLeastOnce
        self.bridge = settings.name
        self.version = ProtocolVersion(rawValue: settings.text("version")) ?? .v5
        self.keepsSession = atLeastOnce
        self.receives = settings.receives
        self.keepalive = Int32(clamping: settings.duration("keepalive").wholeSeconds)
        self.sessionExpiry = UInt32(clamping: settings.duration("session_expiry").wholeSeconds)
        self.window = settings.integer("window")
        self.connectTimeout = settings.duration("connect_timeout")
        self.retains = settings.boolean("retain")
        self.isMandatory = settings.boolean("mandatory")
        self.username = settings.username
        self.password = settings.password
        self.tls = settings.tls
        self.group = settings.consumerGroup
        self.unsharedNames = settings.unsharedNames

        let prefix = settings.text("client_id")
        self.clientID = "\(prefix)-\(settings.instance)-\(Self.plain(settings.name))"

        let qos = settings.text("qos")
        self.qos = Int32(qos) ?? (atLeastOnce ? 1 : 0)
        if atLeastOnce, self.qos == 0 {
            problems.append(
                .init(
                    path: "\(settings.optionsPath).qos",
                    message: "guarantee at_least_once is not possible with QoS 0: the broker would confirm nothing",
                    hint: "choose qos 1 or auto, or guarantee at_most_once"))
        }
        if self.version == .v311, self.group != nil {
            problems.append(
                .init(
                    path: "\(settings.optionsPath).version",
                    message: "consume: one_of needs shared subscriptions, which came with MQTT 5",
                    hint: "choose version 5, or leave out consume"))
        }
        if self.version == .v311, self.isMandatory {
            problems.append(
                .init(
                    path: "\(settings.optionsPath).mandatory",
                    message: "before MQTT 5 a broker does not tell whether a subscription matches",
                    hint: "choose version 5, or leave out mandatory"))
        }
        if self.version == .v311, settings.username == nil, settings.password != nil {
            problems.append(
                .init(
                    path: settings.optionsPath, message: "MQTT 3.1.1 knows no password without a user name",
                    hint: "give a username, or choose version 5"))
        }
        if prefix.utf8.contains(0) || prefix.utf8.count > 256 {
            problems.append(
                .init(
                    path: "\(settings.optionsPath).client_id",
                    message: "a client identifier's prefix has at most 256 bytes and no U+0000"))
        }
        if !problems.isEmpty { throw ConfigurationError(problems) }
    }

    /// Bridge names may hold anything; identifiers stay readable in a broker's log.
    private static func plain(_ name: String) -> String {
        var result = ""
        for byte in name.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
                result.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                result += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }
        }
        return result
    }
}

extension ConversationPlan {
    func isShared(_ topic: Topic) -> Bool { self.group != nil && !self.unsharedNames.contains(topic.text) }

    /// A filter as it is subscribed: MQTT 5, 4.8.2.
    func subscription(_ topic: Topic) -> Topic {
        guard let group, self.isShared(topic) else { return topic }
        return Topic("$share/\(group)/\(topic.text)")
    }
}

extension Duration {
    /// Rounded up.
    var wholeSeconds: Int64 {
        let (seconds, fraction) = self.components
        return fraction > 0 ? seconds + 1 : seconds
    }

    /// Rounded up, so that a wait never ends just before its deadline.
    var wholeMilliseconds: Int32 {
        let (seconds, attoseconds) = self.components
        if seconds > 1_000_000 { return 1_000_000_000 }
        return Int32(clamping: seconds * 1000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
    }
}
