internal import CLinkspanLinux
internal import Glibc
internal import NIOCore

/// Polls one descriptor by the kernel's asynchronous I/O (io_submit(2), `IOCB_CMD_POLL`), which signals an eventfd out of the descriptor's
/// own wake-up: no thread lies between.
final class KernelPoll {
    private let context: aio_context_t
    /// One for reading and one for writing; the kernel knows them by their address.
    private let blocks: UnsafeMutablePointer<iocb>
    private let descriptor: Int32
    private let signal: Int32

    init(_ descriptor: Int32, signal: Int32) throws(IOError) {
        var context = aio_context_t()
        guard linkspan_aio_setup(2, &context) == 0 else { throw IOError(errnoCode: errno, reason: "io_setup") }
        self.context = context
        self.blocks = .allocate(capacity: 2)
        self.descriptor = descriptor
        self.signal = signal
    }

    deinit {
        self.blocks.deallocate()
    }

    /// Whether the kernel takes polls at all; found out once, with a descriptor that is always writable.
    static func check() throws(IOError) {
        if let refusal = Self.refusal { throw refusal }
    }

    private static let refusal: IOError? = {
        let descriptor = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
        defer { Glibc.close(descriptor) }
        guard let poll = try? KernelPoll(descriptor, signal: descriptor) else { return nil }
        defer { poll.close(armed: []) }
        do throws(IOError) {
            try poll.arm(.writable)
            return nil
        } catch {
            return error
        }
    }()

    /// - Precondition: no poll for any of `wishes` is under way.
    func arm(_ wishes: DescriptorWatch.Readiness) throws(IOError) {
        if wishes.contains(.readable) { try self.poll(POLLIN, 0, .readable) }
        if wishes.contains(.writable) { try self.poll(POLLOUT, 1, .writable) }
    }

    private func poll(_ events: Int32, _ index: Int, _ wish: DescriptorWatch.Readiness) throws(IOError) {
        guard
            linkspan_aio_poll(
                self.context, self.blocks + index, self.descriptor, Int16(events), self.signal, UInt64(wish.rawValue))
                == 1
        else { throw IOError(errnoCode: errno, reason: "io_submit") }
    }

    /// What is over. A poll that failed counts as well: whoever uses the descriptor then sees why.
    func take() -> DescriptorWatch.Readiness {
        withUnsafeTemporaryAllocation(of: io_event.self, capacity: 2) { events in
            var ready: DescriptorWatch.Readiness = []
            let count = linkspan_aio_take(self.context, events.baseAddress, 2)
            for index in 0..<max(0, Int(count)) {
                ready.insert(DescriptorWatch.Readiness(rawValue: UInt8(truncatingIfNeeded: events[index].data)))
            }
            return ready
        }
    }

    /// - Parameter armed: what is being polled.
    func close(armed: DescriptorWatch.Readiness) {
        // An open poll holds the file: its peer would not hear that the library has closed it.
        if armed.contains(.readable) { _ = linkspan_aio_cancel(self.context, self.blocks) }
        if armed.contains(.writable) { _ = linkspan_aio_cancel(self.context, self.blocks + 1) }
        // Waits for a grace period of the kernel, tens of milliseconds.
        let context = self.context
        LinkThread.start(name: "poll-end", stackSize: 1 << 18) { _ = linkspan_aio_destroy(context) }
    }
}

@available(*, unavailable)
extension KernelPoll: Sendable {}
