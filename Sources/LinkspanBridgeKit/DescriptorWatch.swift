internal import CLinkspanLinux
internal import Glibc
public import Logging
public import NIOCore
internal import NIOPosix
internal import Synchronization

/// Tells an event loop when a descriptor is ready that a C library reads and writes by itself, so that the library can live on the loop.
///
/// NIO watches only what it reads. Here the kernel polls the descriptor (io_submit(2) with `IOCB_CMD_POLL`, Linux 4.18) and signals an
/// eventfd(2), which the loop reads; no thread has to be woken between. Where the kernel does not, a thread of the process polls for all
/// watches, and one line of the log says so.
///
/// A wish is good for one event. The order of a turn is: look what is there, as far as one turn may last, then ``arm(_:)`` for what has
/// shown to be exhausted. What became ready meanwhile is told at once. A peer that hung up, and an error, count as ready.
///
/// Confined to its event loop, which keeps it until ``close()``, or until the loop ends. It holds the file: before ``close()`` a
/// descriptor that the library closed is not closed for the peer. A watch takes one descriptor (two where a thread polls) and two of
/// `/proc/sys/fs/aio-max-nr`, 65,536 by default for all processes.
public final class DescriptorWatch {
    public struct Readiness: OptionSet, Sendable {
        public let rawValue: UInt8

        public init(rawValue: UInt8) {
            self.rawValue = rawValue
        }

        /// That a read would not find the descriptor empty, or fail.
        public static let readable = Readiness(rawValue: 1)
        /// That it takes something, or that a write would fail.
        public static let writable = Readiness(rawValue: 2)
    }

    private enum Poll {
        case kernel(KernelPoll)
        case thread(DescriptorPoll)
    }

    private let descriptor: Int32
    private let signal: Int32
    private let whenReady: (Readiness) -> Void
    private var poll: Poll
    private var armed: Readiness = []
    private let eventLoop: any EventLoop
    private var channel: (any Channel)?
    private var failure: IOError?
    private var isClosed = false

    /// Starts to watch; nothing is told before the first ``arm(_:)``.
    ///
    /// - Parameters:
    ///   - eventLoop: of a `MultiThreadedEventLoopGroup`.
    ///   - whenReady: called on the loop with the wishes that came true, or with none after ``callSoon()``. It should not keep its owner
    ///     alive, and may close the watch.
    /// - Throws: `IOError` when the process has no descriptor or memory left.
    /// - Precondition: on `eventLoop`.
    public convenience init(
        _ descriptor: Int32, on eventLoop: any EventLoop, logger: Logger, whenReady: @escaping (Readiness) -> Void
    ) throws(IOError) {
        try self.init(
            descriptor, on: eventLoop, asksKernel: true, whenRefused: { Self.logOnce(logger, $0) }, whenReady)
    }

    /// - Parameter asksKernel: false to poll by the thread in any case.
    package init(
        _ descriptor: Int32, on eventLoop: any EventLoop, asksKernel: Bool, whenRefused: (IOError) -> Void,
        _ whenReady: @escaping (Readiness) -> Void
    ) throws(IOError) {
        eventLoop.preconditionInEventLoop()
        self.descriptor = descriptor
        self.eventLoop = eventLoop
        self.whenReady = whenReady
        let signal = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
        guard signal >= 0 else { throw IOError(errnoCode: errno, reason: "eventfd") }
        self.signal = signal
        do {
            self.poll = try Self.makePoll(descriptor, signal, asksKernel, whenRefused)
        } catch {
            Glibc.close(signal)
            throw error
        }
        self.listen()
    }

    private static func makePoll(
        _ descriptor: Int32, _ signal: Int32, _ asksKernel: Bool, _ whenRefused: (IOError) -> Void
    ) throws(IOError) -> Poll {
        if asksKernel {
            do {
                try KernelPoll.check()
                return .kernel(try KernelPoll(descriptor, signal: signal))
            } catch {
                whenRefused(error)
            }
        }
        return .thread(try DescriptorPoll(descriptor, signal: signal))
    }

    private static let hasLogged = Atomic<Bool>(false)

    private static func logOnce(_ logger: Logger, _ error: IOError) {
        guard !Self.hasLogged.exchange(true, ordering: .relaxed) else { return }
        logger.notice(
            "The kernel polls no descriptors for event loops; a thread does, which makes the way to a broker longer",
            metadata: ["reason": "\(error)"])
    }

    /// Whether the thread polls.
    package var isPolledByThread: Bool { if case .thread = self.poll { true } else { false } }

    /// Asks to be called once for each of `wishes`; those that it has been asked for already change nothing.
    ///
    /// - Throws: `IOError` when the kernel takes the wish no more, or the loop does not listen; the watch is of no further use then.
    public func arm(_ wishes: Readiness) throws(IOError) {
        if let failure { throw failure }
        let new = wishes.subtracting(self.armed)
        guard !new.isEmpty, !self.isClosed else { return }
        switch self.poll {
        case .kernel(let poll): try poll.arm(new)
        case .thread(let poll): try poll.arm(new)
        }
        self.armed.formUnion(new)
    }

    /// Asks to be called when the loop has looked at its other descriptors: for an owner with more to do than one turn should last.
    ///
    /// A task of the loop would run before it looks, and one that starts itself again would keep it from looking at all.
    public func callSoon() {
        guard !self.isClosed else { return }
        var one: UInt64 = 1
        _ = write(self.signal, &one, MemoryLayout<UInt64>.size)
    }

    /// Ends the watch and lets go of the file; nothing is told from now on. Never waits.
    public func close() {
        guard !self.isClosed else { return }
        self.isClosed = true
        switch self.poll {
        case .kernel(let poll): poll.close(armed: self.armed)
        case .thread(let poll): poll.close()
        }
        self.channel?.close(promise: nil)
        self.channel = nil
    }

    private func listen() {
        let handler = NIOLoopBound(WatchHandler(self), eventLoop: self.eventLoop)
        NIOPipeBootstrap(group: self.eventLoop)
            // Each read empties the counter; eight bytes are all there is.
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 16))
            .channelOption(.maxMessagesPerRead, value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(handler.value) }
            }
            .takingOwnershipOfDescriptor(input: self.signal)
            .assumeIsolated()
            .whenComplete { result in
                switch result {
                case .success(let channel):
                    if self.isClosed { channel.close(promise: nil) } else { self.channel = channel }
                case .failure(let error):
                    self.failed(error)
                    Glibc.close(self.signal)
                }
            }
    }

    private func failed(_ error: any Error) {
        guard !self.isClosed else { return }
        self.failure = error as? IOError ?? IOError(errnoCode: ECANCELED, reason: "\(error)")
        self.close()
        // The owner looks, and arms again, and hears why not.
        self.whenReady([.readable, .writable])
    }

    fileprivate func signalled() {
        guard !self.isClosed else { return }
        let ready =
            switch self.poll {
            case .kernel(let poll): poll.take()
            case .thread(let poll): poll.take()
            }
        self.armed.subtract(ready)
        self.whenReady(ready)
    }

    fileprivate func channelEnded() {
        self.failed(IOError(errnoCode: ECANCELED, reason: "the event loop ended"))
    }
}

@available(*, unavailable)
extension DescriptorWatch: Sendable {}

/// Reads the eventfd of one watch.
private final class WatchHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let watch: DescriptorWatch

    init(_ watch: DescriptorWatch) {
        self.watch = watch
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.watch.signalled()
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.watch.channelEnded()
    }
}

@available(*, unavailable)
extension WatchHandler: Sendable {}
