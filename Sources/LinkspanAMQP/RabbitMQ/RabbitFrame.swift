internal import CLinkspanRabbitMQ

/// One frame from the upstream, typed. Buffers are valid until ``RabbitConnection/releaseBuffers()``.
enum RabbitFrame {
    /// - Parameter isShared: whether it comes from the queue of the group.
    case deliver(tag: UInt64, routingKey: UnsafeRawBufferPointer, isShared: Bool)
    case returned(routingKey: UnsafeRawBufferPointer)
    case header(bodySize: UInt64, properties: UnsafeMutablePointer<amqp_basic_properties_t>?)
    case body(UnsafeRawBufferPointer)
    case ack(tag: UInt64, multiple: Bool)
    case nack(tag: UInt64, multiple: Bool)
    case bindAnswered
    case unbindAnswered
    case consumerCancelled
    case channelClosed(UInt16, Closure)
    case connectionClosed(Closure)
    case blocked(reason: String)
    case unblocked
    /// Heartbeats, and answers that nobody waits for.
    case other

    init(_ frame: borrowing amqp_frame_t) {
        switch Int32(frame.frame_type) {
        case AMQP_FRAME_METHOD:
            self = Self.method(frame.payload.method, channel: frame.channel)
        case AMQP_FRAME_HEADER:
            let properties = frame.payload.properties
            // Only class basic has content, so the decoded properties are of that type (AMQP 0-9-1, 4.2.6.1).
            let isBasic = Int32(properties.class_id) == AMQP_BASIC_CLASS
            self = .header(
                bodySize: properties.body_size,
                properties: isBasic ? properties.decoded?.assumingMemoryBound(to: amqp_basic_properties_t.self) : nil)
        case AMQP_FRAME_BODY:
            self = .body(frame.payload.body_fragment.buffer)
        default:
            self = .other
        }
    }

    private static func method(_ method: amqp_method_t, channel: UInt16) -> RabbitFrame {
        guard let decoded = method.decoded else { return .other }
        switch method.id {
        case AMQP_BASIC_DELIVER_METHOD:
            let deliver = decoded.assumingMemoryBound(to: amqp_basic_deliver_t.self)
            return .deliver(
                tag: deliver.pointee.delivery_tag, routingKey: deliver.pointee.routing_key.buffer,
                isShared: deliver.pointee.consumer_tag.equals(RabbitConnection.groupConsumer))
        case AMQP_BASIC_ACK_METHOD:
            let ack = decoded.assumingMemoryBound(to: amqp_basic_ack_t.self)
            return .ack(tag: ack.pointee.delivery_tag, multiple: ack.pointee.multiple != 0)
        case AMQP_BASIC_NACK_METHOD:
            let nack = decoded.assumingMemoryBound(to: amqp_basic_nack_t.self)
            return .nack(tag: nack.pointee.delivery_tag, multiple: nack.pointee.multiple != 0)
        case AMQP_BASIC_RETURN_METHOD:
            let returned = decoded.assumingMemoryBound(to: amqp_basic_return_t.self)
            return .returned(routingKey: returned.pointee.routing_key.buffer)
        case AMQP_QUEUE_BIND_OK_METHOD:
            return .bindAnswered
        case AMQP_QUEUE_UNBIND_OK_METHOD:
            return .unbindAnswered
        case AMQP_BASIC_CANCEL_METHOD:
            return .consumerCancelled
        case AMQP_CHANNEL_CLOSE_METHOD:
            return .channelClosed(channel, Closure(channel: decoded))
        case AMQP_CONNECTION_CLOSE_METHOD:
            return .connectionClosed(Closure(connection: decoded))
        case AMQP_CONNECTION_BLOCKED_METHOD:
            let blocked = decoded.assumingMemoryBound(to: amqp_connection_blocked_t.self)
            return .blocked(reason: blocked.pointee.reason.string)
        case AMQP_CONNECTION_UNBLOCKED_METHOD:
            return .unblocked
        default:
            return .other
        }
    }
}

extension Closure {
    init(channel decoded: UnsafeMutableRawPointer) {
        let close = decoded.assumingMemoryBound(to: amqp_channel_close_t.self).pointee
        self.init(
            code: Int(close.reply_code), text: close.reply_text.string, classID: Int(close.class_id),
            methodID: Int(close.method_id))
    }

    init(connection decoded: UnsafeMutableRawPointer) {
        let close = decoded.assumingMemoryBound(to: amqp_connection_close_t.self).pointee
        self.init(
            code: Int(close.reply_code), text: close.reply_text.string, classID: Int(close.class_id),
            methodID: Int(close.method_id))
    }
}

extension UnsafeMutablePointer<amqp_basic_properties_t> {
    var messageID: MessageID? {
        guard self.pointee._flags & UInt32(AMQP_BASIC_MESSAGE_ID_FLAG) != 0 else { return nil }
        return MessageID(self.pointee.message_id.buffer)
    }
}
