internal import LinkspanWire

/// Messages of clients that do not write JSON, or have yet to show what they write.
///
/// They are turned into the JSON text of the same packet before anything else looks at them, so that all clients are served alike.
extension ClientConnection {
    func codedMessageReceived(_ kind: WebSocketMessageKind, _ bytes: UnsafeRawBufferPointer) {
        let codec = self.codec ?? MessageCodec(firstMessage: kind, bytes)
        self.codec = codec
        switch (codec, kind) {
        case (.json, _):
            self.textReceived(kind, bytes)
        case (.minBin, .text):
            // The pong of protocol 2 is an empty text with this codec too; other texts mean nothing.
            bytes.isEmpty ? self.textReceived(kind, bytes) : self.packetReceived(.raw(.notJSON), bytes)
        case (.minBin, .binary):
            self.minBinReceived(bytes)
        }
    }

    private func minBinReceived(_ bytes: UnsafeRawBufferPointer) {
        var text: [UInt8] = []
        do throws(MinBinError) {
            try self.server.minBin.decode(bytes.bytes, into: &text)
        } catch {
            return self.packetReceived(.raw(.notJSON), bytes)
        }
        text.withUnsafeBytes { self.textReceived(.binary, $0) }
    }
}
