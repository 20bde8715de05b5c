internal import CLinkspanRabbitMQ
internal import Glibc
internal import LinkspanBridgeKit
internal import NIOCore

/// What became of one call to publish.
enum PublishResult {
    case written
    case refused(EgressRefusal)
}

extension RabbitConnection {
    /// Longest payload that is copied to be sent with others, in bytes.
    private static let copiedLimit = 32 << 10

    /// Writes one publish to the socket, or puts it where ``flush()`` finds it.
    ///
    /// A large one, and each one over TLS, is the library's to write: it waits inside when the socket is not ``isWritable``, or the payload larger than its
    /// buffer; only ``LinkControl/cut(because:)`` ends that.
    mutating func publish(
        _ message: borrowing EgressMessage, exchange: borrowing PinnedText, isMandatory: Bool,
        writer: inout PropertyWriter
    ) throws(UpstreamError) -> PublishResult {
        guard message.name.utf8.count <= 255 else { return .refused(.badName) }
        guard var properties = writer.properties(of: message) else { return .refused(.rejected) }
        if !self.isEncrypted, message.payload.readableBytes <= Self.copiedLimit {
            try self.append(message, exchange.bytes, isMandatory: isMandatory, &properties)
            return .written
        }
        try self.flush()
        let raw = self.raw
        let exchangeBytes = exchange.bytes
        let payload = message.payload
        let status = message.name.withAMQPBytes { key in
            payload.withUnsafeReadableBytes { body in
                amqp_basic_publish(
                    raw, Self.channel, exchangeBytes, key, isMandatory ? 1 : 0, 0, &properties, amqp_bytes_t(body))
            }
        }
        try Self.check(status, "publishing")
        return .written
    }

    private mutating func append(
        _ message: borrowing EgressMessage, _ exchange: amqp_bytes_t, isMandatory: Bool,
        _ properties: inout amqp_basic_properties_t
    ) throws(UpstreamError) {
        let body = message.payload
        let status = message.name.withAMQPBytes { key in
            var publish = amqp_basic_publish_t(
                ticket: 0, exchange: exchange, routing_key: key, mandatory: isMandatory ? 1 : 0, immediate: 0)
            return self.frames.append(&publish, &properties, body: body)
        }
        try Self.check(status, "publishing")
    }

    /// Writes what was put together, waiting as the library does.
    mutating func flush() throws(UpstreamError) {
        var failure: Int32 = 0
        self.frames.bytes.withUnsafeReadableBytes { bytes in
            var rest = bytes[...]
            while !rest.isEmpty, failure == 0 {
                let part = UnsafeRawBufferPointer(rebasing: rest)
                let count = Glibc.send(self.descriptor, part.baseAddress, part.count, Int32(MSG_NOSIGNAL))
                if count >= 0 {
                    rest = rest.dropFirst(count)
                } else if errno == EAGAIN {
                    var polled = pollfd(fd: self.descriptor, events: Int16(POLLOUT), revents: 0)
                    _ = poll(&polled, 1, -1)
                } else if errno != EINTR {
                    failure = errno
                }
            }
        }
        self.frames.removeAll()
        guard failure == 0 else {
            throw UpstreamError(.lost, "publishing: \(String(cString: strerror(failure))) (errno \(failure))")
        }
    }
}
