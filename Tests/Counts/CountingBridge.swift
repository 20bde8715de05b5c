internal import Dispatch
internal import Glibc
internal import LinkspanBridgeKit
internal import NIOCore
internal import Synchronization

/// A bridge without an upstream: what leaves is confirmed at once, and what should arrive is made here.
struct CountingBridge: Bridge {
    static let kind = "counting"
    static let schemes = ["counting": 1]
    static let options: [OptionDeclaration] = []
    static let defaultNameTemplate = "sc/{channel}"
    static let nameRules = NameRules(reserved: [], escapesControls: false, lengthLimit: 65_535)

    let carriesHeader = true

    init(settings: BridgeSettings) throws(ConfigurationError) {}

    func run(on link: BridgeLink) async throws {
        try await LinkThread.run(name: "counting") { signal in
            let conversation = CountingConversation(link, signal)
            while !signal.isCancelled { conversation.turn() }
        }
    }
}

/// What the thread of the bridge and the one that counts share; there is one bridge in the process.
final class CountingUpstream: Sendable {
    static let shared = CountingUpstream()

    private struct State {
        var signal: WakeSignal?
        /// Messages to make.
        var due = 0
        var sequence: UInt64 = 0
        var confirmed = 0
    }

    private let state = Mutex(State())
    private let moved = DispatchSemaphore(value: 0)

    fileprivate func connected(_ signal: WakeSignal) {
        self.state.withLock { $0.signal = signal }
        self.moved.signal()
    }

    /// Lets so many messages arrive.
    func bring(_ count: Int) {
        self.state.withLock { state in
            state.due = count
            state.signal?.raise()
        }
    }

    fileprivate func takeDue() -> (count: Int, sequence: UInt64) {
        self.state.withLock { state in
            defer {
                state.sequence += UInt64(state.due)
                state.due = 0
            }
            return (state.due, state.sequence)
        }
    }

    fileprivate func confirmed(_ count: Int) {
        self.state.withLock { $0.confirmed += count }
        self.moved.signal()
    }

    /// Returns when it is connected.
    func awaitConnection() {
        while self.state.withLock({ $0.signal == nil }) { self.moved.wait() }
    }

    /// Returns when so many messages have left since the last call, and forgets them.
    func awaitConfirmed(_ count: Int) {
        while self.state.withLock({ $0.confirmed < count }) { self.moved.wait() }
        self.state.withLock { $0.confirmed -= count }
    }
}

/// One run of the bridge; lives on its thread.
final class CountingConversation {
    /// Where what arrives belongs.
    static let channel = "in"
    static let data = #"{"text":"\#(String(repeating: "x", count: 100))"}"#

    private let link: BridgeLink
    private let signal: WakeSignal
    private let payload = ByteBuffer(string: CountingConversation.data)
    private let hops = [InstanceID("elsewhere")!]

    init(_ link: BridgeLink, _ signal: WakeSignal) {
        self.link = link
        self.signal = signal
        link.connected(UpstreamFacts(product: "nothing"))
        link.onWork { signal.raise() }
        CountingUpstream.shared.connected(signal)
    }

    /// Sleeps until there is something to do, and does it. Callgrind counts what happens in here by the name of this method.
    func turn() {
        var entry = pollfd(fd: self.signal.descriptor, events: Int16(POLLIN), revents: 0)
        _ = poll(&entry, 1, -1)
        self.signal.clear()
        let work = self.link.takeWork(upTo: 256)
        for case .subscribe(let filter) in work.interest { self.link.interestSettled(filter, accepted: true) }
        if let first = work.egress.first, let last = work.egress.last {
            self.link.confirm(first.ticket...last.ticket)
            CountingUpstream.shared.confirmed(work.egress.count)
        }
        let (count, sequence) = CountingUpstream.shared.takeDue()
        if count > 0 { self.deliver(count, after: sequence) }
    }

    private func deliver(_ count: Int, after sequence: UInt64) {
        var messages: [IngressMessage] = []
        messages.reserveCapacity(count)
        for number in 1...UInt64(count) {
            let origin = Origin(instance: self.hops[0], epoch: 1, sequence: sequence + number)
            messages.append(
                IngressMessage(
                    name: "sc/\(Self.channel)", payload: self.payload,
                    header: EnvelopeHeader(origin: origin, hops: self.hops, acceptedAt: 1)))
        }
        self.link.deliver(messages) {}
    }
}
