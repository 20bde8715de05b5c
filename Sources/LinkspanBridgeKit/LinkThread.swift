internal import CLinkspanLinux
internal import Glibc
internal import Synchronization

/// A thread of its own for one C handle, sleeping in `poll` on the library's descriptor and on a ``WakeSignal``.
public enum LinkThread {
    /// Runs `body` on a new thread and returns what it returned.
    ///
    /// When the calling task is cancelled, ``WakeSignal/isCancelled`` becomes true and the signal is raised; `body` says good-bye and returns.
    /// - Parameters:
    ///   - name: shown by `ps` and `perf`; the kernel keeps 15 bytes of it.
    ///   - stackSize: bytes.
    public static func run<Result: Sendable>(
        name: String, stackSize: Int = 1 << 20,
        body: @escaping @Sendable (WakeSignal) throws -> Result
    ) async throws -> Result {
        let signal = WakeSignal()
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                Self.start(name: name, stackSize: stackSize) {
                    continuation.resume(with: Swift.Result { try body(signal) })
                }
            }
        } onCancel: {
            signal.cancel()
        }
    }

    /// Starts a thread that nobody waits for.
    static func start(name: String, stackSize: Int, _ body: @escaping @Sendable () -> Void) {
        let start = Unmanaged.passRetained(ThreadStart(name: name, body: body))
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        pthread_attr_setstacksize(&attributes, stackSize)
        var thread = pthread_t()
        let code = pthread_create(
            &thread, &attributes,
            { argument in
                let start = Unmanaged<ThreadStart>.fromOpaque(argument!).takeRetainedValue()
                linkspan_name_thread(start.name)
                ThreadSlice.shorten()
                start.body()
                return nil
            }, start.toOpaque())
        precondition(code == 0, "pthread_create failed with errno \(code): the process is out of threads or memory")
    }
}

private final class ThreadStart: Sendable {
    let name: String
    let body: @Sendable () -> Void

    init(name: String, body: @escaping @Sendable () -> Void) {
        self.name = name
        self.body = body
    }
}

/// Wakes a ``LinkThread`` out of `poll`. Any thread may raise it; raising it many times before it is cleared costs one system call.
public final class WakeSignal: Sendable {
    /// An eventfd (eventfd(2)); poll it for `POLLIN`.
    public let descriptor: Int32

    private let isRaised = Atomic<Bool>(false)
    private let cancelled = Atomic<Bool>(false)

    init() {
        self.descriptor = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
        precondition(self.descriptor >= 0, "eventfd failed with errno \(errno): the process is out of descriptors")
    }

    deinit {
        close(self.descriptor)
    }

    /// Whether the task that runs the thread was cancelled.
    public var isCancelled: Bool { self.cancelled.load(ordering: .acquiring) }

    public func raise() {
        guard !self.isRaised.exchange(true, ordering: .acquiringAndReleasing) else { return }
        var one: UInt64 = 1
        _ = write(self.descriptor, &one, MemoryLayout<UInt64>.size)
    }

    /// Call after `poll` and before looking for work, so that no raise is lost.
    public func clear() {
        guard self.isRaised.load(ordering: .relaxed) else { return }
        var count: UInt64 = 0
        _ = read(self.descriptor, &count, MemoryLayout<UInt64>.size)
        self.isRaised.store(false, ordering: .sequentiallyConsistent)
    }

    func cancel() {
        self.cancelled.store(true, ordering: .releasing)
        self.raise()
    }
}
