public import LinkspanBridgeKit
public import LinkspanCore
public import LinkspanWire

/// What `POST /publish` asks for: `{"channel":"news","data":{"any":"JSON"}}`. Without `data` it is a publish without data.
public struct PublishRequest: Hashable, Sendable {
    public var channel: ChannelName
    /// As it was written.
    public var data: JSONText?

    /// Why nothing was published.
    public struct Problem: Error, Hashable {
        public var reason: String
        /// Whether it is only too much of it, so that less would do.
        public var isTooLarge = false
    }

    public init(body: [UInt8], limits: LimitSettings) throws(Problem) {
        let scanner = JSONScanner(maximumDepth: limits.jsonDepth)
        var members: [(key: StringSlice, value: JSONValue)] = []
        do throws(JSONError) {
            let root = try scanner.scan(body.span.bytes)
            guard root.kind == .object else { throw JSONError(reason: .unexpectedByte, offset: 0) }
            try scanner.forEachMember(of: root, in: body.span.bytes) { members.append(($0, $1)) }
        } catch {
            throw Problem(reason: "the body is no JSON object, or nested too deep, at byte \(error.offset)")
        }
        var channel: ChannelName?
        var data: JSONText?
        for (key, value) in members {
            switch key.string(in: body.span.bytes) {
            case "channel": channel = value.string.map { ChannelName($0.string(in: body.span.bytes)) }
            case "data": data = JSONText(alreadyValid: Array(body[value.range]))
            default: throw Problem(reason: "unknown member; known: channel, data")
            }
        }
        guard let channel else { throw Problem(reason: "channel is missing, or no string") }
        guard channel.string.utf8.count <= limits.channelNameBytes else {
            throw Problem(reason: "channel is longer than \(limits.channelNameBytes) bytes")
        }
        guard !channel.isReserved else {
            throw Problem(reason: "channels below \(ChannelName.reservedPrefix) are reserved")
        }
        // What is larger no instance takes from a broker.
        guard data?.utf8.count ?? 0 <= limits.messageBytes else {
            throw Problem(reason: "data is larger than \(limits.messageBytes) bytes", isTooLarge: true)
        }
        self.channel = channel
        self.data = data
    }
}
