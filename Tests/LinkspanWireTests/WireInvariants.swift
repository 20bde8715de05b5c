import LinkspanWire

/// What must hold for any bytes whatever; shared by the fuzzer, the random tests and the kept failures.
///
/// The first byte chooses what the others are fed to.
enum WireInvariants {
    /// The invariants that `input` breaks, in words; traps inside the codec are failures too.
    static func violations(_ input: [UInt8]) -> [String] {
        guard let first = input.first else { return [] }
        let bytes = Array(input.dropFirst())
        return switch first % 5 {
        case 0: Self.clientMessage(bytes)
        case 1: Self.serverMessage(bytes)
        case 2: Self.frames(bytes, sender: first & 0x80 == 0 ? .client : .server)
        case 3: Self.minBinMessage(bytes)
        default: Self.minBinText(bytes)
        }
    }

    /// Data that a decoder reports must be JSON by itself, or passing it on untouched would break the receiver.
    private static func clientMessage(_ text: [UInt8]) -> [String] {
        let decoder = ClientDecoder(limits: DecodingLimits(depth: 16, batchElements: 100))
        var packets: [ClientPacket] = []
        switch decoder.decode(text.span.bytes) {
        case .pong: return text.count <= 2 ? [] : ["a pong of \(text.count) bytes"]
        case .packet(let packet): packets = [packet]
        case .batch(var batch):
            let count = batch.count
            while let packet = decoder.next(&batch, in: text.span.bytes) { packets.append(packet) }
            if packets.count != count { return ["a batch of \(count) gave \(packets.count)"] }
        }
        return packets.flatMap { Self.broken($0, in: text) }
    }

    private static func broken(_ packet: ClientPacket, in text: [UInt8]) -> [String] {
        switch packet {
        case .handshake(let token, _), .authenticate(let token, _):
            Self.notJSON([token?.range], in: text)
        case .subscribe(let request): Self.notJSON([request.data], in: text) + Self.notName(request.channel, in: text)
        case .publish(let channel, let data, _): Self.notJSON([data], in: text) + Self.notName(channel, in: text)
        case .unsubscribe(let channel, _): Self.notName(channel, in: text)
        case .disconnect(_, let data): Self.notJSON([data], in: text)
        case .event(let name, let data, _): Self.notJSON([data], in: text) + Self.notName(.name(name), in: text)
        case .response(_, let data, let error): Self.notJSON([data, error], in: text)
        case .removeAuthToken, .raw: []
        }
    }

    private static func serverMessage(_ text: [UInt8]) -> [String] {
        let decoder = ServerDecoder(limits: DecodingLimits(depth: 16, batchElements: 100))
        var packets: [ServerPacket] = []
        switch decoder.decode(text.span.bytes) {
        case .ping: return text.count <= 2 ? [] : ["a ping of \(text.count) bytes"]
        case .packet(let packet): packets = [packet]
        case .batch(var batch):
            while let packet = decoder.next(&batch, in: text.span.bytes) { packets.append(packet) }
        }
        return packets.flatMap { packet -> [String] in
            switch packet {
            case .response(_, let data, let error): Self.notJSON([data?.range, error?.range], in: text)
            case .publish(let channel, let data): Self.notJSON([data], in: text) + Self.notName(channel, in: text)
            case .kickOut(let channel, _): Self.notName(channel, in: text)
            case .event(let name, let data, _): Self.notJSON([data], in: text) + Self.notName(.name(name), in: text)
            case .disconnect(_, let data): Self.notJSON([data], in: text)
            case .setAuthToken, .removeAuthToken, .raw: []
            }
        }
    }

    /// Frames must come out the same however the stream was cut.
    private static func frames(_ bytes: [UInt8], sender: WebSocketFrameParser.Sender) -> [String] {
        let parser = WebSocketFrameParser(sender: sender, limits: .init(messageBytes: 1000, fragments: 20))
        var whole = FrameFeed(parser)
        whole.receive(bytes)
        var single = FrameFeed(parser)
        for byte in bytes { single.receive([byte]) }
        guard whole.events == single.events, whole.error == single.error else {
            return ["cut into bytes: \(single.events) \(String(describing: single.error)), whole: \(whole.events)"]
        }
        return []
    }

    private static func minBinMessage(_ message: [UInt8]) -> [String] {
        let codec = MinBinCodec(limits: DecodingLimits(depth: 16), maximumTextBytes: 1 << 16)
        var text: [UInt8] = []
        guard (try? codec.decode(message.span.bytes, into: &text)) != nil else { return [] }
        guard text.count <= 1 << 16 else { return ["\(text.count) bytes of text"] }
        let standsAlone = (0xA0...0xBF).contains(message[0]) || (0xD9...0xDB).contains(message[0])
        return standsAlone ? [] : Self.notJSON([text.indices], in: text)
    }

    /// What was encoded once must decode, and encode to the same bytes again.
    private static func minBinText(_ text: [UInt8]) -> [String] {
        let codec = MinBinCodec(limits: DecodingLimits(depth: 16), maximumTextBytes: 1 << 20)
        var first: [UInt8] = []
        guard (try? codec.encode(text.span.bytes, into: &first)) != nil else { return [] }
        var middle: [UInt8] = []
        guard (try? codec.decode(first.span.bytes, into: &middle)) != nil else { return ["\(first) does not decode"] }
        var second: [UInt8] = []
        guard (try? codec.encode(middle.span.bytes, into: &second)) != nil, first == second else {
            return ["\(first) became \(second)"]
        }
        return []
    }

    private static func notJSON(_ ranges: [Range<Int>?], in text: [UInt8]) -> [String] {
        ranges.compactMap { range in
            guard let range else { return nil }
            guard range.upperBound <= text.count else { return "\(range) is outside \(text.count) bytes" }
            let part = Array(text[range])
            return (try? JSONScanner().scan(part.span.bytes)) == nil ? "\(part) is not JSON" : nil
        }
    }

    private static func notName(_ field: NameField, in text: [UInt8]) -> [String] {
        switch field {
        case .name(let slice):
            guard slice.range.upperBound < text.count else { return ["\(slice) is outside \(text.count) bytes"] }
            let name = JSONText(string: slice.string(in: text.span.bytes))
            return Self.notJSON([name.utf8.indices], in: name.utf8)
        case .malformed(let value): return Self.notJSON([value.range], in: text)
        case .missing: return []
        }
    }
}
