internal import NIOCore
internal import Synchronization

/// What other threads have for one loop, in the order in which they handed it over.
///
/// Handing over is acceptance: nothing is ever taken out of an inbox but by its loop, which handles all of it. That is why a publish may
/// be acknowledged, and a subscription answered, once its batch is in here. One wake-up serves everything that gathers until the loop
/// comes round.
final class LoopInbox: Sendable {
    private struct State {
        var work: [LoopWork] = []
        var byteCount = 0
        var isWoken = false
        var isCongested = false
        /// Its loop has stopped: nobody would ever come to what is handed over now.
        var isDetached = false
        var loop: NIOLoopBound<ServerLoop>?
        var eventLoop: (any EventLoop)?
    }

    private let state = Mutex(State())
    private let isFilled = Atomic<Bool>(false)
    private let congestion: Congestion

    init(congestion: Congestion) {
        self.congestion = congestion
    }

    /// Opens the inbox: what was handed over earlier is handled now.
    func attach(_ loop: ServerLoop, on eventLoop: any EventLoop) {
        self.state.withLock { state in
            state.loop = NIOLoopBound(loop, eventLoop: eventLoop)
            state.eventLoop = eventLoop
            state.isWoken = true
        }
        loop.handleInbox()
    }

    /// Whether its loop runs.
    var isAttached: Bool { self.state.withLock { $0.loop != nil } }

    /// Any thread. For senders who are held back by other means when much waits.
    func post(_ work: LoopWork, byteCount: Int = 0) {
        if !self.post(work, byteCount: byteCount, byteLimit: .max) { work.abandoned() }
    }

    /// Any thread. False, and nothing done, when more than `byteLimit` bytes wait already.
    func post(_ work: LoopWork, byteCount: Int, byteLimit: Int) -> Bool {
        let (isTaken, wake) = self.state.withLock {
            [congestion] state -> (Bool, (NIOLoopBound<ServerLoop>, any EventLoop)?) in
            guard !state.isDetached, state.byteCount <= byteLimit else { return (false, nil) }
            state.work.append(work)
            state.byteCount += byteCount
            self.isFilled.store(true, ordering: .releasing)
            if state.byteCount > Congestion.inboxByteLimit, !state.isCongested {
                state.isCongested = true
                congestion.began()
            }
            guard !state.isWoken, let loop = state.loop, let eventLoop = state.eventLoop else { return (true, nil) }
            state.isWoken = true
            return (true, (loop, eventLoop))
        }
        if let (loop, eventLoop) = wake { eventLoop.execute { loop.value.handleInbox() } }
        return isTaken
    }

    /// Whether something waits that was handed over before whatever the caller has just learnt from a socket.
    var hasWork: Bool { self.isFilled.load(ordering: .acquiring) }

    /// Everything that is there; only its own loop asks.
    func takeAll(reusing spare: inout [LoopWork]) {
        self.state.withLock { [congestion] state in
            self.isFilled.store(false, ordering: .relaxed)
            swap(&state.work, &spare)
            state.byteCount = 0
            state.isWoken = false
            if state.isCongested {
                state.isCongested = false
                congestion.ended()
            }
        }
    }

    /// The loop has stopped: breaks the cycle between it and its inbox, and takes nothing more.
    func detach() {
        let left = self.state.withLock { state in
            state.loop = nil
            state.eventLoop = nil
            state.isDetached = true
            defer { state.work = [] }
            return state.work
        }
        for work in left { work.abandoned() }
    }
}

/// Whether some loop has more waiting than it should. Publishers are then read no further until it has caught up.
final class Congestion: Sendable {
    /// Bytes that may wait in one inbox before publishers are held back.
    static let inboxByteLimit = 32 << 20
    /// Bytes past which nothing more is taken from senders who cannot be held back.
    static let injectionByteLimit = 128 << 20

    private let inboxes = Atomic<Int>(0)

    var isCongested: Bool { self.inboxes.load(ordering: .relaxed) > 0 }

    func began() { self.inboxes.wrappingAdd(1, ordering: .relaxed) }
    func ended() { self.inboxes.wrappingSubtract(1, ordering: .relaxed) }
}
