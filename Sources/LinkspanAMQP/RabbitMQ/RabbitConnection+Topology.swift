internal import CLinkspanRabbitMQ
internal import LinkspanBridgeKit

extension RabbitConnection {
    /// Declares the exchange; where we may not configure it, it must exist.
    ///
    /// - Returns: whether the broker took the declaration, so that the exchange is as we want it.
    /// - Throws: with ``UpstreamError/Code/promise`` when a promised one exists and differs.
    mutating func declareExchange(
        _ exchange: borrowing PinnedText, isDurable: Bool, isPromised: Bool
    ) throws(UpstreamError) -> Bool {
        do throws(RabbitFailure) {
            try self.declareExchange(exchange, isDurable: isDurable, isPassive: false)
            return true
        } catch {
            guard case .channelClosed(let closure) = error, closure.code == Closure.accessRefused else {
                throw error.asUpstreamError("declaring the exchange", isPromised: isPromised)
            }
            try self.reopenChannel(Self.channel)
            do throws(RabbitFailure) {
                try self.declareExchange(exchange, isDurable: isDurable, isPassive: true)
                return false
            } catch {
                throw error.asUpstreamError("looking for the exchange, which we may not declare")
            }
        }
    }

    private mutating func declareExchange(
        _ exchange: borrowing PinnedText, isDurable: Bool, isPassive: Bool
    ) throws(RabbitFailure) {
        amqp_exchange_declare(
            self.raw, Self.channel, exchange.bytes, amqp_bytes_t("topic"), isPassive ? 1 : 0, isDurable ? 1 : 0, 0, 0,
            amqp_empty_table)
        try self.checkReply("declaring the exchange")
    }

    /// A queue that lives and dies with this connection.
    mutating func declareTransientQueue(_ queue: borrowing PinnedText) throws(RabbitFailure) {
        amqp_queue_declare(self.raw, Self.channel, queue.bytes, 0, 0, 1, 1, amqp_empty_table)
        try self.checkReply("declaring the queue")
    }

    /// A queue that is there as long as somebody consumes it.
    ///
    /// Durable, because a broker may refuse queues that are neither durable nor exclusive (RabbitMQ, `transient_nonexcl_queues`).
    mutating func declareGroupQueue(_ queue: borrowing PinnedText) throws(UpstreamError) {
        amqp_queue_declare(self.raw, Self.channel, queue.bytes, 0, 1, 0, 1, amqp_empty_table)
        do throws(RabbitFailure) {
            try self.checkReply("declaring the queue")
        } catch {
            throw error.asUpstreamError(
                "declaring the queue of the group; if it exists with other arguments, delete it")
        }
    }

    /// A durable queue that survives us for `expiry`.
    ///
    /// - Returns: whether it was there already, from an earlier conversation.
    /// - Throws: with ``UpstreamError/Code/promise`` when it exists and differs.
    mutating func declareKeptQueue(
        _ queue: borrowing PinnedText, isQuorum: Bool, expiry: Duration
    ) throws(UpstreamError) -> Bool {
        let wasThere = try self.queueExists(queue)
        let type: StaticString = isQuorum ? "quorum" : "classic"
        var entries = [
            Self.entry("x-queue-type", text: amqp_bytes_t(type)),
            Self.entry("x-expires", integer: expiry.components.seconds * 1_000),
        ]
        entries.withUnsafeMutableBufferPointer { entries in
            let table = amqp_table_t(num_entries: Int32(entries.count), entries: entries.baseAddress)
            amqp_queue_declare(self.raw, Self.channel, queue.bytes, 0, 1, 0, 0, table)
        }
        do throws(RabbitFailure) {
            try self.checkReply("declaring the queue")
        } catch {
            throw error.asUpstreamError(
                "declaring the kept queue; if it exists with other arguments, delete it", isPromised: true)
        }
        return wasThere
    }

    private mutating func queueExists(_ queue: borrowing PinnedText) throws(UpstreamError) -> Bool {
        amqp_queue_declare(self.raw, Self.channel, queue.bytes, 1, 1, 0, 0, amqp_empty_table)
        do throws(RabbitFailure) {
            try self.checkReply("looking for the queue")
            return true
        } catch {
            guard case .channelClosed(let closure) = error, closure.code == Closure.notFound else {
                throw error.asUpstreamError("looking for the queue")
            }
            try self.reopenChannel(Self.channel)
            return false
        }
    }

    /// - Parameters:
    ///   - prefetch: nil lets the upstream send without acknowledgements.
    ///   - isShared: whether others may consume the queue; it is alone otherwise.
    mutating func consume(_ queue: borrowing PinnedText, prefetch: Int?, isShared: Bool = false) throws(UpstreamError) {
        do throws(RabbitFailure) {
            if let prefetch {
                amqp_basic_qos(self.raw, Self.channel, 0, UInt16(clamping: prefetch), 0)
                try self.checkReply("setting the prefetch")
            }
            // Exclusive: a second consumer would take every other message, out of order.
            amqp_basic_consume(
                self.raw, Self.channel, queue.bytes, amqp_bytes_t(isShared ? Self.groupConsumer : Self.ownConsumer), 0,
                prefetch == nil ? 1 : 0, isShared ? 0 : 1, amqp_empty_table)
            try self.checkReply("consuming")
        } catch {
            // RabbitMQ says 403 "in exclusive use" for a queue that has another consumer.
            if !isShared, case .channelClosed(let closure) = error, closure.code == Closure.accessRefused,
                closure.text.contains("exclusive")
            {
                throw UpstreamError(
                    .takenOver,
                    "consuming: \(closure.text) (AMQP code \(closure.code)): another instance with this id, "
                        + "or an earlier connection that the upstream still believes alive")
            }
            throw error.asUpstreamError("consuming")
        }
    }

    mutating func selectConfirms() throws(UpstreamError) {
        amqp_confirm_select(self.raw, Self.channel)
        do throws(RabbitFailure) {
            try self.checkReply("asking for publisher confirms")
        } catch {
            throw error.asUpstreamError("asking for publisher confirms")
        }
    }

    /// Sends a request whose answer comes as a frame: ``RabbitFrame/bindAnswered`` or ``RabbitFrame/unbindAnswered``, in order.
    mutating func send(
        _ operation: BindingTable.Operation, queue: borrowing PinnedText, exchange: borrowing PinnedText
    ) throws(UpstreamError) {
        let queueBytes = queue.bytes
        let exchangeBytes = exchange.bytes
        let raw = self.raw
        let status = operation.key.string.withAMQPBytes { key in
            switch operation {
            case .bind:
                var bind = amqp_queue_bind_t(
                    ticket: 0, queue: queueBytes, exchange: exchangeBytes, routing_key: key, nowait: 0,
                    arguments: amqp_empty_table)
                return amqp_send_method(raw, Self.bindingChannel, AMQP_QUEUE_BIND_METHOD, &bind)
            case .unbind:
                var unbind = amqp_queue_unbind_t(
                    ticket: 0, queue: queueBytes, exchange: exchangeBytes, routing_key: key,
                    arguments: amqp_empty_table)
                return amqp_send_method(raw, Self.bindingChannel, AMQP_QUEUE_UNBIND_METHOD, &unbind)
            }
        }
        try Self.check(status, "changing a binding")
    }

    mutating func reopenChannel(_ channel: UInt16) throws(UpstreamError) {
        try self.confirmChannelClosed(channel)
        do throws(RabbitFailure) {
            try self.openChannel(channel)
        } catch {
            throw error.asUpstreamError("reopening a channel")
        }
    }

    static func entry(_ key: StaticString, text: amqp_bytes_t) -> amqp_table_entry_t {
        var value = amqp_field_value_t()
        value.kind = UInt8(AMQP_FIELD_KIND_UTF8.rawValue)
        value.value.bytes = text
        return amqp_table_entry_t(key: amqp_bytes_t(key), value: value)
    }

    static func entry(_ key: StaticString, integer: Int64) -> amqp_table_entry_t {
        var value = amqp_field_value_t()
        value.kind = UInt8(AMQP_FIELD_KIND_I64.rawValue)
        value.value.i64 = integer
        return amqp_table_entry_t(key: amqp_bytes_t(key), value: value)
    }
}

extension RabbitFailure {
    /// For what a conversation cannot do without.
    ///
    /// - Parameter isPromised: whether the guarantee rests on it.
    func asUpstreamError(_ attempt: String, isPromised: Bool = false) -> UpstreamError {
        switch self {
        case .channelClosed(let closure) where isPromised && closure.code == Closure.preconditionFailed:
            UpstreamError(.promise, UpstreamError(channel: closure, during: attempt).message)
        case .channelClosed(let closure): UpstreamError(channel: closure, during: attempt)
        case .ended(let error): error
        }
    }
}
