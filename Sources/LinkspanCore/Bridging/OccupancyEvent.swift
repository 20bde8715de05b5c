public import LinkspanBridgeKit
internal import LinkspanWire
public import NIOCore

/// Who listens, as the broker's events tell an upstream: a raw message on ``ControlChannel/subscribe`` or ``ControlChannel/unsubscribe``. Its format
/// is in docs/envelope.md.
public struct OccupancyEvent: Sendable, Hashable {
    public enum Kind: String, Sendable, Hashable, CaseIterable {
        /// The first local subscriber of a channel came.
        case subscribe
        /// The last one left, or the instance is gone.
        case unsubscribe

        public var control: ControlChannel {
            switch self {
            case .subscribe: .subscribe
            case .unsubscribe: .unsubscribe
            }
        }
    }

    public var kind: Kind
    public var channel: ChannelName
    /// Whose subscribers they are.
    public var instance: InstanceID
    /// Start of that instance's run, milliseconds since 1970. Nil where nobody vouches for it: the event then holds until the next one.
    public var epoch: UInt64?
    /// So long after the instance's last sign of life its subscriptions hold.
    public var lease: Duration?
    /// The instance that says so of another one, which is gone.
    public var withdrawer: InstanceID?

    public init(
        _ kind: Kind, _ channel: ChannelName, of instance: InstanceID, epoch: UInt64? = nil, lease: Duration? = nil,
        by withdrawer: InstanceID? = nil
    ) {
        self.kind = kind
        self.channel = channel
        self.instance = instance
        self.epoch = epoch
        self.lease = lease
        self.withdrawer = withdrawer
    }

    /// - Parameter milliseconds: since 1970.
    public func json(at milliseconds: UInt64) -> ByteBuffer {
        var json = ByteBuffer()
        json.put("{\"channel\":")
        json.putJSONString(self.channel.string)
        json.put(",\"event\":\"")
        json.put(verbatim: self.kind.rawValue)
        json.put("\",\"instance\":\"")
        json.put(verbatim: self.instance.string)
        json.put("\",\"at\":")
        json.put(decimal: Int64(clamping: milliseconds))
        if let epoch = self.epoch {
            json.put(",\"epoch\":")
            json.put(decimal: Int64(clamping: epoch))
        }
        if let lease = self.lease {
            json.put(",\"lease\":")
            json.put(decimal: lease.milliseconds)
        }
        if let withdrawer = self.withdrawer {
            json.put(",\"by\":\"")
            json.put(verbatim: withdrawer.string)
            json.put("\"")
        }
        json.put("}")
        return json
    }

    /// Nil when `data` is no event of an instance that vouches for it.
    public init?(_ kind: Kind, _ data: ByteBuffer) {
        var members = OccupancyMembers()
        do throws(JSONError) {
            try members.read(data)
        } catch {
            return nil
        }
        guard let channel = members.channel, !channel.isReserved, let instance = members.instance,
            let epoch = members.epoch
        else { return nil }
        self.init(kind, channel, of: instance, epoch: epoch, by: members.withdrawer)
    }
}

/// Part of what an instance's clients are subscribed to, for instances that were not there to hear the events.
public struct OccupancySnapshot: Sendable, Hashable {
    public var instance: InstanceID
    public var epoch: UInt64
    public var channels: [ChannelName]

    public init(instance: InstanceID, epoch: UInt64, channels: [ChannelName]) {
        self.instance = instance
        self.epoch = epoch
        self.channels = channels
    }

    /// Most channels of one message.
    public static let channelLimit = 256

    public var json: ByteBuffer {
        var json = ByteBuffer()
        json.put("{\"instance\":\"")
        json.put(verbatim: self.instance.string)
        json.put("\",\"epoch\":")
        json.put(decimal: Int64(clamping: self.epoch))
        json.put(",\"channels\":[")
        for (index, channel) in self.channels.enumerated() {
            if index > 0 { json.put(",") }
            json.putJSONString(channel.string)
        }
        json.put("]}")
        return json
    }

    /// Nil when `data` is no snapshot.
    public init?(_ data: ByteBuffer) {
        var members = OccupancyMembers()
        do throws(JSONError) {
            try members.read(data)
        } catch {
            return nil
        }
        guard let instance = members.instance, let epoch = members.epoch, let channels = members.channels else {
            return nil
        }
        self.init(instance: instance, epoch: epoch, channels: channels.filter { !$0.isReserved })
    }
}

/// The members of either while it is read; of duplicate keys the last one counts.
private struct OccupancyMembers {
    var channel: ChannelName?
    var channels: [ChannelName]?
    var instance: InstanceID?
    var epoch: UInt64?
    var withdrawer: InstanceID?

    private static let scanner = JSONScanner(maximumDepth: 8)

    mutating func read(_ data: ByteBuffer) throws(JSONError) {
        let object = try Self.scanner.scan(data.readableBytesSpan)
        guard object.kind == .object else { return }
        var members = OccupancyMembers()
        var list: JSONValue?
        try Self.scanner.forEachMember(of: object, in: data.readableBytesSpan) { key, value in
            let text = data.readableBytesSpan
            if key.equals("channel", in: text) {
                members.channel = value.string.map { ChannelName($0.string(in: text)) }
            } else if key.equals("instance", in: text) {
                members.instance = value.string.flatMap { InstanceID($0.string(in: text)) }
            } else if key.equals("by", in: text) {
                members.withdrawer = value.string.flatMap { InstanceID($0.string(in: text)) }
            } else if key.equals("epoch", in: text) {
                members.epoch = value.integer(in: text).flatMap { UInt64(exactly: $0) }
            } else if key.equals("channels", in: text), value.kind == .array {
                list = value
            }
        }
        if let list {
            var channels: [ChannelName] = []
            try Self.scanner.forEachElement(of: list, in: data.readableBytesSpan) { element in
                guard channels.count < OccupancySnapshot.channelLimit, let name = element.string else { return }
                channels.append(ChannelName(name.string(in: data.readableBytesSpan)))
            }
            members.channels = channels
        }
        self = members
    }
}
