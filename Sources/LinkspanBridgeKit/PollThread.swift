internal import CLinkspanLinux
internal import Glibc
internal import NIOCore
internal import Synchronization

/// Polls descriptors for all watches of the process where the kernel does not do it, on a thread that never ends.
final class PollThread: Sendable {
    private static let current = Mutex<PollThread?>(nil)

    /// The one of this process, started with its first use.
    static func shared() throws(IOError) -> PollThread {
        try self.current.withLock { current throws(IOError) in
            if let current { return current }
            let thread = try PollThread()
            LinkThread.start(name: "poll", stackSize: 1 << 18) { thread.run() }
            current = thread
            return thread
        }
    }

    private struct State {
        var targets: [UInt64: Target] = [:]
        var lastNumber: UInt64 = 0
    }

    /// Where to tell of one descriptor.
    final class Target: Sendable {
        let ready = Atomic<UInt8>(0)
        fileprivate let signal: Int32

        fileprivate init(signal: Int32) {
            self.signal = signal
        }
    }

    fileprivate let epoll: Int32
    private let state = Mutex(State())

    private init() throws(IOError) {
        self.epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
        if self.epoll < 0 { throw IOError(errnoCode: errno, reason: "epoll_create1") }
    }

    fileprivate func add(signal: Int32) -> (number: UInt64, target: Target) {
        self.state.withLock { state in
            state.lastNumber += 1
            let target = Target(signal: signal)
            state.targets[state.lastNumber] = target
            return (state.lastNumber, target)
        }
    }

    /// From now on nothing is written to its eventfd, whose number may be another file's next.
    fileprivate func remove(_ number: UInt64) {
        self.state.withLock { _ = $0.targets.removeValue(forKey: number) }
    }

    private func run() {
        withUnsafeTemporaryAllocation(of: epoll_event.self, capacity: 64) { events in
            while true {
                let count = epoll_wait(self.epoll, events.baseAddress, Int32(events.count), -1)
                for index in 0..<max(0, Int(count)) {
                    self.tell(events[index].data.u64, DescriptorPoll.readiness(events[index].events))
                }
            }
        }
    }

    private func tell(_ number: UInt64, _ ready: DescriptorWatch.Readiness) {
        self.state.withLock { state in
            guard let target = state.targets[number] else { return }
            target.ready.bitwiseOr(ready.rawValue, ordering: .releasing)
            var one: UInt64 = 1
            _ = write(target.signal, &one, MemoryLayout<UInt64>.size)
        }
    }
}

/// One descriptor that the ``PollThread`` polls.
final class DescriptorPoll {
    private let thread: PollThread
    private let number: UInt64
    private let target: PollThread.Target
    /// A second number for the same file, so that what becomes of the first one is no concern of ours.
    private let descriptor: Int32
    private var wishes: DescriptorWatch.Readiness = []
    private var operation = EPOLL_CTL_ADD

    init(_ descriptor: Int32, signal: Int32) throws(IOError) {
        self.thread = try PollThread.shared()
        self.descriptor = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
        if self.descriptor < 0 { throw IOError(errnoCode: errno, reason: "fcntl") }
        (self.number, self.target) = self.thread.add(signal: signal)
    }

    func arm(_ wishes: DescriptorWatch.Readiness) throws(IOError) {
        self.wishes.formUnion(wishes)
        let code = linkspan_epoll_arm(
            self.thread.epoll, self.operation, self.descriptor, Self.events(self.wishes), self.number)
        if code != 0 { throw IOError(errnoCode: errno, reason: "epoll_ctl") }
        self.operation = EPOLL_CTL_MOD
    }

    func take() -> DescriptorWatch.Readiness {
        let ready = DescriptorWatch.Readiness(rawValue: self.target.ready.exchange(0, ordering: .acquiring))
            .intersection(self.wishes)
        self.wishes.subtract(ready)
        // One event disarms all of a descriptor. What goes wrong here goes wrong at the next arming too, where somebody hears of it.
        if !ready.isEmpty, !self.wishes.isEmpty { try? self.arm([]) }
        return ready
    }

    func close() {
        self.thread.remove(self.number)
        Glibc.close(self.descriptor)
    }

    private static func events(_ wishes: DescriptorWatch.Readiness) -> UInt32 {
        (wishes.contains(.readable) ? EPOLLIN.rawValue : 0) | (wishes.contains(.writable) ? EPOLLOUT.rawValue : 0)
    }

    /// A failure is for both sides: whoever reads or writes then sees why.
    fileprivate static func readiness(_ events: UInt32) -> DescriptorWatch.Readiness {
        var ready: DescriptorWatch.Readiness = []
        let failures = EPOLLERR.rawValue | EPOLLHUP.rawValue
        if events & (EPOLLIN.rawValue | failures) != 0 { ready.insert(.readable) }
        if events & (EPOLLOUT.rawValue | failures) != 0 { ready.insert(.writable) }
        return ready
    }
}

@available(*, unavailable)
extension DescriptorPoll: Sendable {}
