internal import LinkspanCore
internal import LinkspanWire

/// How the messages of one connection are written.
enum MessageCodec: UInt8, Sendable, Hashable {
    case json
    /// sc-codec-min-bin: MessagePack in binary frames.
    case minBin

    /// Nil while only the first message of the client will tell.
    init?(_ choice: CodecChoice) {
        switch choice {
        case .auto: return nil
        case .json: self = .json
        case .minBin: self = .minBin
        }
    }

    /// As the first message of a client shows it: a packet in MessagePack begins with a byte that no JSON text can begin with.
    init(firstMessage kind: WebSocketMessageKind, _ bytes: UnsafeRawBufferPointer) {
        self = kind == .binary && (bytes.first ?? 0) >= 0x80 ? .minBin : .json
    }
}

extension MinBinCodec {
    /// For clients and answers of a server with these settings.
    init(settings: ServerSettings) {
        // Publishes of other instances may be as deep as those of clients, and lie two levels down in their packet.
        self.init(
            limits: DecodingLimits(
                depth: settings.limits.jsonDepth + 2, batchElements: settings.limits.batchElements),
            maximumTextBytes: settings.limits.messageBytes * 6)
    }
}
