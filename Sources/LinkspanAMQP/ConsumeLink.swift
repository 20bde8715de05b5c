internal import LinkspanBridgeKit
internal import Logging
internal import NIOCore

/// The consuming connection's life on its thread.
struct ConsumeLink: ~Copyable {
    /// Messages, and bytes of payload, that are handed to the host at a time.
    private static let batchLimit = 256
    private static let batchSizeLimit = 1 << 20
    /// Batches under way at the host before reading pauses.
    private static let underWayLimit = 4
    /// Changes of bindings ahead of the upstream's answers.
    private static let bindingWindow = 128

    private var connection: RabbitConnection
    private let conversation: Conversation
    private let signal: WakeSignal
    private let control: LinkControl
    private let takesWork: Bool
    private let exchange: PinnedText
    private var queue: PinnedText
    /// Empty without a group.
    private let groupQueue: PinnedText
    /// What the own queue has beside that of a group; nil without one.
    private let unshared: Set<RoutingKey>?
    private let isAcknowledging: Bool

    private var bindings = BindingTable()
    private var operations: [BindingTable.Operation] = []
    private var unanswered: [BindingTable.Operation] = []
    private var stale = StaleBindings()

    private var reader = DeliveryReader()
    /// Of the delivery that is being put together.
    private var arrivingTag: UInt64 = 0
    private var isFromGroup = false
    /// Of the last one that is whole: an acknowledgement of what has yet to arrive could lose it.
    private var deliveryTag: UInt64 = 0
    /// Of the last one that was handed over, or passed over.
    private var handledTag: UInt64 = 0
    private var batch: [IngressMessage] = []
    private var batchSize = 0
    private let taken: TakenBatches
    private var isPaused = false
    private var mustRead = true
    private var liveness: Liveness

    init(
        _ connection: consuming RabbitConnection, conversation: Conversation, signal: WakeSignal, control: LinkControl,
        takesWork: Bool
    ) {
        let options = conversation.options
        self.groupQueue = PinnedText(options.groupQueue ?? "")
        self.unshared = options.groupQueue.map { _ in conversation.unsharedKeys }
        self.isAcknowledging = options.guarantee == .atLeastOnce
        self.exchange = PinnedText(options.exchange)
        self.queue = PinnedText(options.queue)
        self.taken = TakenBatches(signal: signal, alwaysRaises: self.isAcknowledging)
        self.liveness = Liveness(heartbeat: connection.heartbeat)
        self.connection = connection
        self.conversation = conversation
        self.signal = signal
        self.control = control
        self.takesWork = takesWork
    }

    mutating func run() throws(UpstreamError) {
        let exchange = try self.conversation.declare(self.exchange, on: &self.connection)
        let resumed = try self.prepare()
        self.conversation.ready(
            product: self.connection.product, resumed: resumed,
            promises: exchange + BrokerPromises(self.conversation.options).consuming())
        do throws(UpstreamError) {
            while !self.signal.isCancelled {
                try self.turn()
            }
        } catch {
            throw self.control.cutReason.map { UpstreamError(.silent, "consuming: \($0)") } ?? error
        }
        self.connection.close()
    }

    /// - Returns: whether the queue was kept from before.
    private mutating func prepare() throws(UpstreamError) -> Bool {
        let options = self.conversation.options
        var resumed = false
        if self.unshared != nil {
            try self.declareTransientQueue()
            resumed = try self.declareGroupQueue()
        } else if self.isAcknowledging {
            do throws(UpstreamError) {
                resumed = try self.connection.declareKeptQueue(
                    self.queue, isQuorum: options.isQuorum, expiry: options.queueExpiry)
            } catch {
                throw self.conversation.noting(error, of: BrokerPromises.queue)
            }
            if resumed { self.stale = StaleBindings(isResumed: true) }
        } else {
            try self.declareTransientQueue()
        }
        do throws(RabbitFailure) {
            try self.connection.openChannel(RabbitConnection.bindingChannel)
        } catch {
            throw error.asUpstreamError("opening a channel")
        }
        let prefetch = self.isAcknowledging ? options.prefetch : nil
        try self.connection.consume(self.queue, prefetch: prefetch)
        if self.unshared != nil {
            try self.connection.consume(self.groupQueue, prefetch: prefetch, isShared: true)
        }
        return resumed
    }

    /// - Returns: whether the queue is one that is kept and was there before.
    private mutating func declareGroupQueue() throws(UpstreamError) -> Bool {
        let options = self.conversation.options
        guard options.guarantee == .atLeastOnce else {
            try self.connection.declareGroupQueue(self.groupQueue)
            return false
        }
        do throws(UpstreamError) {
            return try self.connection.declareKeptQueue(
                self.groupQueue, isQuorum: options.isQuorum, expiry: options.queueExpiry)
        } catch {
            throw self.conversation.noting(error, of: BrokerPromises.queue)
        }
    }

    /// An exclusive queue stays locked while the upstream believes in a connection that we know is dead: take another name then.
    private mutating func declareTransientQueue() throws(UpstreamError) {
        do throws(RabbitFailure) {
            try self.connection.declareTransientQueue(self.queue)
        } catch {
            guard case .channelClosed(let closure) = error, closure.code == Closure.resourceLocked else {
                throw error.asUpstreamError("declaring the queue")
            }
            try self.connection.reopenChannel(RabbitConnection.channel)
            let suffix = String(UInt32.random(in: .min ... .max), radix: 16)
            self.queue = PinnedText("\(self.conversation.options.queue).\(suffix)")
            do throws(RabbitFailure) {
                try self.connection.declareTransientQueue(self.queue)
            } catch {
                throw error.asUpstreamError("declaring the queue")
            }
        }
    }

    private mutating func turn() throws(UpstreamError) {
        let ready = Poll.wait(
            socket: self.isPaused ? -1 : self.connection.descriptor, signal: self.signal,
            milliseconds: self.mustRead ? 0 : Int32(clamping: self.liveness.tick / 1_000_000))
        let now = Clock.now
        self.control.beat(now: now)
        try self.acknowledgeTaken()
        try self.changeInterest()
        if self.isPaused, self.taken.mayRead(below: Self.underWayLimit) {
            self.isPaused = false
            self.mustRead = true
        }
        if self.isPaused {
            guard self.liveness.isDue(now) else { return }
            self.liveness.read(at: now)
            try self.connection.sendHeartbeat()
        } else if ready.isReadable || self.mustRead || self.liveness.isDue(now) {
            self.liveness.read(at: now)
            self.mustRead = false
            try self.readFrames()
        }
    }

    // MARK: Interest

    private mutating func changeInterest() throws(UpstreamError) {
        if self.takesWork, self.conversation.isConnected {
            let work = self.conversation.link.takeWork(upTo: 1)
            self.conversation.post(work.interest)
            for message in work.egress { self.conversation.link.refuse(message.ticket, .rejected) }
        }
        for change in self.conversation.takeInterest() {
            self.stale.interestKnown()
            switch change {
            case .subscribe(let filter):
                let (operation, isSettled) = self.bindings.subscribe(filter)
                if let operation { self.operations.append(operation) }
                if isSettled { self.conversation.link.interestSettled(filter, accepted: true) }
            case .unsubscribe(let filter):
                guard let operation = self.bindings.unsubscribe(filter), !self.isShared(operation.key) else { continue }
                self.operations.append(operation)
            }
        }
        try self.sendOperations()
    }

    /// Whether a binding is the group's: every instance makes it, and none removes it from the others.
    private func isShared(_ key: RoutingKey) -> Bool {
        self.unshared.map { !$0.contains(key) } ?? false
    }

    private mutating func sendOperations() throws(UpstreamError) {
        let count = min(self.operations.count, Self.bindingWindow - self.unanswered.count)
        guard count > 0 else { return }
        for operation in self.operations.prefix(count) {
            if self.isShared(operation.key) {
                try self.connection.send(operation, queue: self.groupQueue, exchange: self.exchange)
            } else {
                try self.connection.send(operation, queue: self.queue, exchange: self.exchange)
            }
            self.unanswered.append(operation)
        }
        self.operations.removeFirst(count)
    }

    private mutating func operationAnswered(accepted: Bool) {
        guard !self.unanswered.isEmpty else { return }
        guard case .bind(let key) = self.unanswered.removeFirst() else { return }
        for filter in self.bindings.bindAnswered(key, accepted: accepted) {
            self.conversation.link.interestSettled(filter, accepted: accepted)
        }
    }

    /// The upstream answers in order, so the oldest open request is the one that it refused.
    private mutating func bindingRefused(_ closure: Closure) throws(UpstreamError) {
        guard closure.code == Closure.accessRefused else {
            throw UpstreamError(channel: closure, during: "changing a binding")
        }
        self.conversation.link.logger.info("Upstream refused a binding", metadata: ["error": "\(closure.text)"])
        self.operationAnswered(accepted: false)
        self.operations.insert(contentsOf: self.unanswered, at: 0)
        self.unanswered.removeAll(keepingCapacity: true)
        try self.connection.reopenChannel(RabbitConnection.bindingChannel)
    }

    // MARK: Ingress

    private mutating func readFrames() throws(UpstreamError) {
        var count = 0
        while let frame = try self.connection.nextFrame() {
            try self.handle(frame)
            count += 1
            if count & 63 == 0 { self.connection.releaseBuffers() }
            guard self.batch.count >= Self.batchLimit || self.batchSize >= Self.batchSizeLimit else { continue }
            self.handOver()
            self.control.beat(now: Clock.now)
            if self.isPaused || self.signal.isCancelled { break }
            try self.acknowledgeTaken()
        }
        self.connection.releaseBuffers()
        self.handOver()
        try self.sendOperations()
    }

    private mutating func handle(_ frame: RabbitFrame) throws(UpstreamError) {
        switch frame {
        case .deliver(let tag, let routingKey, let isShared):
            self.arrivingTag = tag
            self.isFromGroup = isShared
            self.reader.began(routingKey: routingKey)
        case .header(let bodySize, let properties):
            self.append(self.reader.headerReceived(bodySize: bodySize, properties))
        case .body(let fragment):
            self.append(self.reader.bodyReceived(fragment))
        case .bindAnswered, .unbindAnswered:
            self.operationAnswered(accepted: true)
        case .consumerCancelled:
            throw UpstreamError(.lost, "consuming: the queue was deleted, or its node is gone")
        case .channelClosed(RabbitConnection.bindingChannel, let closure):
            try self.bindingRefused(closure)
        case .channelClosed(_, let closure):
            throw UpstreamError(channel: closure, during: "consuming")
        case .connectionClosed(let closure):
            self.connection.confirmConnectionClosed()
            throw UpstreamError(closure, during: "consuming")
        case .ack, .nack, .returned, .blocked, .unblocked, .other:
            break
        }
    }

    private mutating func append(_ message: consuming IngressMessage?) {
        guard let message else { return }
        self.deliveryTag = self.arrivingTag
        // A binding for all channels brings what came to everybody to one of the group once more.
        if self.isFromGroup, !self.isShared(RoutingKey(message.name)) { return }
        if self.stale.isLooking, !self.bindings.wants(message.name), self.stale.found(message.name) {
            self.operations.append(.unbind(RoutingKey(message.name)))
        }
        self.batchSize += message.payload.readableBytes
        self.batch.append(message)
    }

    private mutating func handOver() {
        guard self.deliveryTag != self.handledTag else { return }
        self.handledTag = self.deliveryTag
        let taken = self.taken
        let number = taken.handedOver(upTo: self.deliveryTag)
        // What was passed over is acknowledged as well, or it would fill the prefetch.
        guard !self.batch.isEmpty else { return taken.taken(number) }
        self.conversation.link.deliver(self.batch) { taken.taken(number) }
        // Asked before the thread waits: a batch that is taken from now on wakes it.
        self.isPaused = !taken.mayRead(below: Self.underWayLimit)
        self.batch = []
        self.batch.reserveCapacity(Self.batchLimit)
        self.batchSize = 0
    }

    private mutating func acknowledgeTaken() throws(UpstreamError) {
        guard self.isAcknowledging, let tag = self.taken.takeAcknowledgeable() else { return }
        try self.connection.acknowledge(upTo: tag)
    }
}
