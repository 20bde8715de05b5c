internal import LinkspanBridgeKit
internal import LinkspanCore
internal import LinkspanWire
internal import NIOCore

/// What parsing and writing cost without a network, on one thread.
struct CodecBenchmark {
    /// One line of the result.
    struct Line: Sendable {
        var name: String
        var nanoseconds: Double
        /// Of the message that one operation handles.
        var bytes: Int

        var text: String {
            let name = self.name + String(repeating: " ", count: max(0, 40 - self.name.count))
            let rate = Double(self.bytes) / self.nanoseconds * 1000
            return "\(name)\(self.nanoseconds.short) ns, \(rate.short) MB/s"
        }
    }

    let span: Duration

    func run() -> [Line] {
        [128, 1024].flatMap { size in
            [self.decode(size), self.unmask(size), self.encode(size), self.decodeEnvelope(size)]
        }
    }

    private func decode(_ size: Int) -> Line {
        let text = self.publish(size)
        let decoder = ClientDecoder()
        return self.time("decode a publish, \(size) bytes of data", text.count) { keep in
            if case .packet = decoder.decode(text.span.bytes) { keep += 1 }
        }
    }

    private func unmask(_ size: Int) -> Line {
        let frame = ClientFrame.masked(self.publish(size))
        var copy = frame
        return self.time("unmask its frame", frame.count) { keep in
            copy.withUnsafeMutableBytes { bytes in
                bytes.copyBytes(from: frame)
                var parser = WebSocketFrameParser(sender: .client)
                if (try? parser.parse(bytes)) != nil { keep += 1 }
            }
        }
    }

    private func encode(_ size: Int) -> Line {
        let header = self.header
        let data = ByteBuffer(bytes: self.payload(size))
        var bytes = ByteBuffer()
        bytes.reserveCapacity(EnvelopeCodec.encodedBound(header, data: data))
        return self.time("write an envelope, \(size) bytes of data", size) { keep in
            bytes.clear()
            EnvelopeCodec.encode(header, data: data, into: &bytes)
            keep += bytes.readableBytes
        }
    }

    private func decodeEnvelope(_ size: Int) -> Line {
        var bytes = ByteBuffer()
        EnvelopeCodec.encode(self.header, data: ByteBuffer(bytes: self.payload(size)), into: &bytes)
        let codec = EnvelopeCodec(dataLimit: 1 << 20, jsonDepth: 128)
        return self.time("read an envelope, \(size) bytes of data", bytes.readableBytes) { keep in
            if case .refused = codec.decode(bytes, header: nil) { return }
            keep += 1
        }
    }

    private var header: EnvelopeHeader {
        let instance = InstanceID("bench-1")!
        return EnvelopeHeader(
            origin: Origin(instance: instance, epoch: 1_795_216_176_123, sequence: 123_456), hops: [instance],
            acceptedAt: 1_795_216_180_456)
    }

    private func payload(_ size: Int) -> [UInt8] { Stamp(stream: 1, sequence: 2, due: 3).payload(size: size) }

    private func publish(_ size: Int) -> [UInt8] {
        Array(##"{"event":"#publish","data":{"channel":"c17","data":"##.utf8) + self.payload(size) + Array("}}".utf8)
    }

    private func time(_ name: String, _ bytes: Int, _ body: (inout Int) -> Void) -> Line {
        Line(name: name, nanoseconds: Stopwatch(span: self.span).nanoseconds(of: name, body), bytes: bytes)
    }
}
