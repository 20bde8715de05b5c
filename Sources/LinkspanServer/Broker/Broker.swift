public import LinkspanBridgeKit
public import LinkspanCore
public import LinkspanWire
public import NIOCore
internal import Synchronization

/// The part that routes publishes, as programs and bridges see it. Every method may be called on any thread, before the server runs too.
public final class Broker: Sendable {
    private let inboxes: [LoopInbox]
    private let loopGroups: LoopGroups
    private let depth: Int
    /// Those that were added before the loops existed, and from then on all.
    private let observers = Mutex<[any BrokerObserver]>([])
    private let dropped = Atomic<Int>(0)
    private let plane = Mutex<(any BridgePlane)?>(nil)

    init(inboxes: [LoopInbox], loopGroups: LoopGroups, depth: Int) {
        self.inboxes = inboxes
        self.loopGroups = loopGroups
        self.depth = depth
    }

    // MARK: Publishing

    /// Delivers a message from outside to the local subscribers of `channel`.
    ///
    /// Raises no `publish` event and leaves by no bridge: an adapter that mirrors an outside broker calls it for what comes from there.
    /// - Parameter data: nil for a publish without data, which is not the same as `null`.
    /// - Returns: false when 128 MiB wait for the owner of the channel already; the message is then dropped and counted.
    @discardableResult
    public func publish(_ channel: ChannelName, _ data: JSONText?) -> Bool {
        self.post(channel, Self.buffer(data), .library)
    }

    /// As ``publish(_:_:)-(_,JSONText?)``, of JSON text that is checked here; empty means no data.
    @discardableResult
    public func publish(_ channel: ChannelName, _ data: ByteBuffer) throws(JSONError) -> Bool {
        try self.check(data)
        return self.post(channel, data, .library)
    }

    /// Publishes as a client would: the message gets an identity, raises the `publish` event and leaves by the bridges that carry `channel`.
    /// - Returns: false when 128 MiB wait for the owner of the channel already, or when a bridge that carries it is full and its rule says
    ///   `block`; the message is then dropped and counted.
    @discardableResult
    public func exchange(_ channel: ChannelName, _ data: JSONText?) -> Bool {
        guard !self.isBlocked(channel) else {
            self.dropped.wrappingAdd(1, ordering: .relaxed)
            return false
        }
        return self.post(channel, Self.buffer(data), .exchange)
    }

    func exchange(_ channel: ChannelName, _ data: JSONText?, _ receipt: EgressReceipt) -> Bool {
        guard !self.isBlocked(channel) else {
            self.dropped.wrappingAdd(1, ordering: .relaxed)
            return false
        }
        return self.post(channel, Self.buffer(data), .exchangeForReceipt(receipt))
    }

    func awaitedBridges(of channel: ChannelName) -> [AwaitedBridge] {
        self.plane.withLock { $0 }?.awaitedBridges(of: channel) ?? []
    }

    func attach(_ plane: (any BridgePlane)?) {
        self.plane.withLock { $0 = plane }
    }

    private func isBlocked(_ channel: ChannelName) -> Bool {
        guard let plane = self.plane.withLock({ $0 }), let pressure = plane.backPressure, pressure.isRaised else {
            return false
        }
        return plane.blockers(of: channel) & pressure.bits != 0
    }

    // MARK: Events

    /// The events from now on, beginning with a `subscribe` for every channel that has subscribers already.
    /// - Parameter bufferLimit: events held for the consumer; what comes beyond is dropped and counted.
    public func events(bufferLimit: Int = 1024) -> BrokerEvents {
        BrokerEvents(bufferLimit: bufferLimit, broker: self)
    }

    /// Keeps `observer` and tells it every event from now on, beginning with `channelSubscribed` for every channel that has subscribers already.
    public func add(_ observer: any BrokerObserver) {
        self.observers.withLock { $0.append(observer) }
        self.control { $0.owner.add(observer) }
    }

    /// Calls that are under way on other threads may still arrive.
    public func remove(_ observer: any BrokerObserver) {
        self.observers.withLock { observers in observers.removeAll { $0 === observer } }
        self.control { $0.owner.remove(observer) }
    }

    /// Ends the event sequences; the loops are gone.
    func stopped() {
        let observers = self.observers.withLock { observers in
            defer { observers = [] }
            return observers
        }
        for observer in observers { (observer as? BrokerEventRecorder)?.finish() }
    }

    private func control(_ body: @escaping @Sendable (ServerLoop) -> Void) {
        for inbox in self.inboxes { inbox.post(.control(body)) }
    }

    var droppedCount: Int { self.dropped.load(ordering: .relaxed) }

    private func post(_ channel: ChannelName, _ data: ByteBuffer, _ source: Injection.Source) -> Bool {
        let hash = NameTable.Hash(channel)
        let envelope = Envelope(channel: channel, data: data, header: nil)
        let isTaken = self.inboxes[hash.owner(among: self.inboxes.count)].post(
            .injection(Injection(source: source, messages: [(envelope, hash)])),
            byteCount: data.readableBytes + Self.messageOverhead, byteLimit: Congestion.injectionByteLimit)
        if !isTaken { self.dropped.wrappingAdd(1, ordering: .relaxed) }
        return isTaken
    }

    /// What a message costs beside its data while it waits.
    private static let messageOverhead = 256

    private func check(_ data: ByteBuffer) throws(JSONError) {
        guard data.readableBytes > 0 else { return }
        let scanner = JSONScanner(maximumDepth: self.depth)
        let result = data.withUnsafeReadableBytes { bytes -> Result<Void, JSONError> in
            do throws(JSONError) {
                _ = try scanner.scan(bytes.bytes)
                return .success(())
            } catch {
                return .failure(error)
            }
        }
        try result.get()
    }

    private static func buffer(_ data: JSONText?) -> ByteBuffer {
        data.map { ByteBuffer(bytes: $0.utf8) } ?? ByteBuffer()
    }
}

extension Broker: IngressAcceptor {
    public func accept(
        _ batch: [IngressEnvelope], from bridge: BridgeIndex, hopLimit: Int,
        taken: @escaping @Sendable (IngressTally) -> Void
    ) {
        self.hand(over: batch, taken: taken) { .bridge(bridge, hopLimit: hopLimit, progress: $0) }
    }

    public func acceptRepaired(
        _ batch: [IngressEnvelope], from bridge: BridgeIndex, hopLimit: Int,
        taken: @escaping @Sendable (IngressTally) -> Void
    ) {
        self.hand(over: batch, taken: taken) { .repair(bridge, hopLimit: hopLimit, progress: $0) }
    }

    public func accept(_ marks: [SequenceMark], sender: InstanceID, from bridge: BridgeIndex) {
        let shares = Dictionary(grouping: marks) { NameTable.Hash($0.channel).owner(among: self.inboxes.count) }
        for (owner, share) in shares {
            self.inboxes[owner].post(
                .control { loop in loop.owner.marked(share, sender: sender, from: bridge, turn: loop.turn) },
                byteCount: share.count * Self.messageOverhead)
        }
    }

    public func leaseEventLoop() -> EventLoopLease? { self.loopGroups.lease() }

    private func hand(
        over batch: [IngressEnvelope], taken: @escaping @Sendable (IngressTally) -> Void,
        source: (IngressProgress) -> Injection.Source
    ) {
        guard !batch.isEmpty else { return taken(IngressTally()) }
        var shares: [[(envelope: Envelope, hash: NameTable.Hash)]] = Array(repeating: [], count: self.inboxes.count)
        for ingress in batch {
            let hash = NameTable.Hash(ingress.envelope.channel)
            shares[hash.owner(among: self.inboxes.count)].append((ingress.envelope, hash))
        }
        let progress = IngressProgress(owners: shares.count { !$0.isEmpty }, taken: taken)
        for (owner, share) in shares.enumerated() where !share.isEmpty {
            let byteCount = share.reduce(0) { $0 + $1.envelope.data.readableBytes }
            let injection = Injection(source: source(progress), messages: share)
            self.inboxes[owner].post(.injection(injection), byteCount: byteCount)
        }
    }
}

extension NameTable.Hash {
    init(_ channel: ChannelName) {
        var name = channel.string
        self = name.withUTF8 { NameTable.Hash(UnsafeRawBufferPointer($0)) }
    }
}
