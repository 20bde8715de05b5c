/// One WebSocket message from a server, as a client reads it. Ranges are byte offsets into the text that was decoded.
public enum ServerMessage: Hashable, Sendable {
    /// An empty message (v2) or `#1` (v1).
    case ping(Dialect)
    case packet(ServerPacket)
    /// An array of packets; taken out one by one with ``ServerDecoder/next(_:in:)``.
    case batch(PacketBatch)
}

public enum ServerPacket: Hashable, Sendable {
    /// Also the answer to the handshake; whoever asked knows its call ID. `error` is nil when absent or `null`.
    case response(callID: CallID, data: JSONValue?, error: JSONValue?)
    case publish(channel: NameField, data: Range<Int>?)
    case kickOut(channel: NameField, message: StringSlice?)
    /// `token` is nil when there was none that is a string; a call ID wants to be answered.
    case setAuthToken(token: StringSlice?, callID: CallID?)
    case removeAuthToken(callID: CallID?)
    /// v1 only: the close frame that follows has no reason.
    case disconnect(code: Int?, data: Range<Int>?)
    /// An event of the application: a transmit, or a call when there is a call ID.
    case event(name: StringSlice, data: Range<Int>?, callID: CallID?)
    case raw(RawReason)
}

/// Reads what servers send. See ``ClientDecoder``, whose mirror image it is.
public struct ServerDecoder: Hashable, Sendable {
    public let limits: DecodingLimits

    public init(limits: DecodingLimits = DecodingLimits()) {
        self.limits = limits
    }

    public func decode(_ text: RawSpan) -> ServerMessage {
        text.withUnsafeBytes { bytes in
            var reader = JSONReader(bytes, maximumDepth: self.limits.depth)
            switch MessageText(&reader) {
            case .empty: return .ping(.v2)
            case .numberedPing: return .ping(.v1)
            case .numberedPong, .other: return .packet(.raw(.notJSON))
            case .object:
                do throws(JSONError) {
                    return .packet(ServerPacket(try reader.onlyPacket(), base: reader.base))
                } catch {
                    return .packet(.raw(RawReason(error)))
                }
            case .array:
                do throws(JSONError) {
                    let batch = try reader.wholeBatch()
                    return batch.count <= self.limits.batchElements ? .batch(batch) : .packet(.raw(.tooManyPackets))
                } catch {
                    return .packet(.raw(RawReason(error)))
                }
            }
        }
    }

    /// Takes the next packet out of `batch`, nil when none is left. Elements that are no packets come as `.raw`.
    /// - Precondition: `text` is the text that `batch` was decoded from.
    public func next(_ batch: inout PacketBatch, in text: RawSpan) -> ServerPacket? {
        guard batch.count > 0 else { return nil }
        return text.withUnsafeBytes { bytes in
            var reader = JSONReader(bytes, maximumDepth: self.limits.depth, position: batch.position)
            do throws(JSONError) {
                guard let fields = try batch.nextFields(&reader) else { return .raw(.notPacket) }
                return ServerPacket(fields, base: reader.base)
            } catch {
                return .raw(RawReason(error))
            }
        }
    }
}

extension ServerPacket {
    init(_ fields: PacketFields, base: UnsafePointer<UInt8>) {
        let callID = fields.callID.flatMap { CallID($0, base: base) }
        guard let name = fields.event?.string else {
            guard let value = fields.responseID, let answered = CallID(value, base: base) else {
                self = .raw(.notPacket)
                return
            }
            self = .response(callID: answered, data: fields.data, error: fields.error?.unlessNull)
            return
        }
        switch ReservedEvent(name, base: base) {
        case .publish:
            self = .publish(channel: fields.inner.channelField(base: base), data: fields.inner.data?.range)
        case .kickOut:
            self = .kickOut(channel: fields.inner.channelField(base: base), message: fields.inner.message?.string)
        case .setAuthToken:
            self = .setAuthToken(token: fields.inner.token?.string, callID: callID)
        case .removeAuthToken:
            self = .removeAuthToken(callID: callID)
        case .disconnect:
            let code = fields.inner.code?.integer(base: base).flatMap { Int(exactly: $0) }
            self = .disconnect(code: code, data: fields.inner.data?.range)
        case .handshake, .authenticate, .subscribe, .unsubscribe, nil:
            self = .event(name: name, data: fields.data?.range, callID: callID)
        }
    }
}
