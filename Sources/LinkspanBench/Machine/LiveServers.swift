internal import Glibc
internal import LinkspanBridgeKit
internal import Synchronization

/// The processes to end when a benchmark is interrupted.
final class LiveServers: Sendable {
    static let shared = LiveServers()

    private let processes = Mutex<Set<pid_t>>([])

    func add(_ process: pid_t) { self.processes.withLock { _ = $0.insert(process) } }

    func remove(_ process: pid_t) { self.processes.withLock { _ = $0.remove(process) } }

    /// Ends them all, each with its group.
    func endAll() {
        for process in self.processes.withLock({ $0 }) { kill(-process, SIGTERM) }
    }
}

extension LiveServers {
    /// Ends them, and this process, on SIGINT and SIGTERM.
    func endWhenInterrupted() {
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGINT)
        sigaddset(&signals, SIGTERM)
        // Blocked before any thread is made, so that the one below gets them.
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        let awaited = signals
        Task.detached {
            try? await LinkThread.run(name: "signals") { _ in
                var signals = awaited
                var number: Int32 = 0
                sigwait(&signals, &number)
                LiveServers.shared.endAll()
                exit(128 + number)
            }
        }
    }
}
