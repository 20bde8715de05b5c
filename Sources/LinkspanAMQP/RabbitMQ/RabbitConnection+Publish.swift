internal import CLinkspanRabbitMQ
internal import LinkspanBridgeKit
internal import NIOCore

/// What became of one call to publish.
enum PublishResult {
    case written
    case refused(EgressRefusal)
}

extension RabbitConnection {
    /// Writes one publish to the socket.
    ///
    /// Waits inside the library when the socket is not ``isWritable``, or the payload larger than its buffer; only
    /// ``LinkControl/cut(because:)`` ends that.
    mutating func publish(
        _ message: borrowing EgressMessage, exchange: borrowing PinnedText, isMandatory: Bool,
        writer: inout PropertyWriter
    ) throws(UpstreamError) -> PublishResult {
        guard message.name.utf8.count <= 255 else { return .refused(.badName) }
        guard var properties = writer.properties(of: message) else { return .refused(.rejected) }
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
}
