/// Reads what clients send: text messages, and binary messages that hold the same JSON.
///
/// Strict about JSON and lenient about packets, as socketcluster-server 19 is (`serversocket.js`, sc-formatter). A
/// packet that decodes is valid UTF-8 throughout; only a text message that comes out as ``ClientPacket/raw(_:)`` still
/// needs that check. Nothing is allocated except for call IDs that are no plain integers.
public struct ClientDecoder: Hashable, Sendable {
    public let limits: DecodingLimits

    public init(limits: DecodingLimits = DecodingLimits()) {
        self.limits = limits
    }

    public func decode(_ text: RawSpan) -> ClientMessage {
        text.withUnsafeBytes { bytes in
            var reader = JSONReader(bytes, maximumDepth: self.limits.depth)
            switch MessageText(&reader) {
            case .empty: return .pong(.v2)
            case .numberedPong: return .pong(.v1)
            case .numberedPing, .other: return .packet(.raw(.notJSON))
            case .object:
                do throws(JSONError) {
                    return .packet(ClientPacket(try reader.onlyPacket(), base: reader.base))
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
    public func next(_ batch: inout PacketBatch, in text: RawSpan) -> ClientPacket? {
        guard batch.count > 0 else { return nil }
        return text.withUnsafeBytes { bytes in
            var reader = JSONReader(bytes, maximumDepth: self.limits.depth, position: batch.position)
            do throws(JSONError) {
                guard let fields = try batch.nextFields(&reader) else { return .raw(.notPacket) }
                return ClientPacket(fields, base: reader.base)
            } catch {
                return .raw(RawReason(error))
            }
        }
    }
}

extension ClientPacket {
    init(_ fields: PacketFields, base: UnsafePointer<UInt8>) {
        let callID = fields.callID.flatMap { CallID($0, base: base) }
        guard let name = fields.event?.string else {
            self = Self.response(fields, base: base)
            return
        }
        switch ReservedEvent(name, base: base) {
        case .publish:
            self = .publish(
                channel: fields.inner.channelField(base: base), data: fields.inner.data?.range, callID: callID)
        case .subscribe:
            self = .subscribe(SubscribeRequest(fields, callID: callID, base: base))
        case .unsubscribe:
            self = .unsubscribe(channel: fields.data.map { NameField($0, base: base) } ?? .missing, callID: callID)
        case .handshake:
            self = .handshake(authToken: fields.inner.authToken?.unlessFalsy(base: base), callID: callID)
        case .authenticate:
            self = .authenticate(token: fields.data?.unlessNull, callID: callID)
        case .removeAuthToken:
            self = .removeAuthToken
        case .disconnect:
            let code = fields.inner.code?.integer(base: base).flatMap { Int(exactly: $0) }
            self = .disconnect(code: code, data: fields.inner.data?.range)
        case .setAuthToken, .kickOut, nil:
            self = .event(name: name, data: fields.data?.range, callID: callID)
        }
    }

    private static func response(_ fields: PacketFields, base: UnsafePointer<UInt8>) -> ClientPacket {
        guard let value = fields.responseID, value.kind == .number, let callID = CallID(value, base: base) else {
            return .raw(.notPacket)
        }
        return .response(callID: callID, data: fields.data?.range, error: fields.error?.unlessNull?.range)
    }
}

extension SubscribeRequest {
    init(_ fields: PacketFields, callID: CallID?, base: UnsafePointer<UInt8>) {
        let isBareString = fields.data?.kind == .string
        let bare = isBareString ? fields.data : nil
        self.init(
            channel: bare.map { NameField($0, base: base) } ?? fields.inner.channelField(base: base),
            data: fields.inner.data?.range, waitForAuth: fields.inner.waitForAuth, wantsBatch: fields.inner.wantsBatch,
            isBareString: isBareString, callID: callID)
    }
}
