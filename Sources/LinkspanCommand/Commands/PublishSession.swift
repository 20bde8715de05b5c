internal import LinkspanClient
internal import Synchronization

/// Publishes over one client, with a bound on what is under way, and remembers the worst that happened.
final class PublishSession: Sendable {
    /// Publishes that wait for their answers at a time.
    static let window = 1000

    private struct State {
        var underWay = 0
        var worst = ExitStatus.success
        var hasConnected = false
        var isStopped = false
        var waiter: (limit: Int, continuation: CheckedContinuation<Void, Never>)?
    }

    private let client: SocketClusterClient
    private let options: ClientOptions
    private let url: ClientURL
    private let showsReceipts: Bool
    private let state = Mutex(State())

    /// - Parameter showsReceipts: whether the data of each answer goes to standard output.
    init(client: SocketClusterClient, options: ClientOptions, url: ClientURL, showsReceipts: Bool = false) {
        self.showsReceipts = showsReceipts
        self.client = client
        self.options = options
        self.url = url
    }

    /// Connects, runs `body` beside, and finishes with what it returns, or with the reason why no connection came about.
    ///
    /// `body` returns nil when the client was stopped under it: the reason for that is told by whoever stopped it.
    func run(_ finish: @escaping @Sendable (ExitStatus) -> Void, _ body: @escaping @Sendable () async -> ExitStatus?)
        async
    {
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                if let status = await body() { finish(status) }
            }
            group.addTask {
                do throws(ClientError) {
                    try await self.client.run { event in self.heard(event, finish) }
                } catch {
                    Terminal.printError(error.message)
                    finish(error.exitStatus)
                }
            }
        }
    }

    private func heard(_ event: ClientEvent, _ finish: @Sendable (ExitStatus) -> Void) {
        switch event {
        case .connected(_, let authError):
            self.state.withLock { $0.hasConnected = true }
            if let authError { self.options.tell("token not taken: \(authError)") }
        case .disconnected(let error, _):
            // Somebody waits at the prompt: a server that was never there is told at once.
            if self.state.withLock({ !$0.hasConnected }) {
                Terminal.printError(error.message)
                finish(error.exitStatus)
            } else {
                self.options.tell(event.description(url: self.url) ?? "")
            }
        case .subscribed, .subscribeRefused, .kickedOut, .message:
            break
        }
    }

    func publish(_ json: String, to channel: String) async -> ExitStatus? {
        do throws(ClientError) {
            let receipt = try await self.client.publish(channel, json: json)
            if self.showsReceipts { print(receipt ?? "null") }
            return .success
        } catch {
            if error.code == .stopped { return nil }
            Terminal.printError("not published: \(error.message)")
            return error.exitStatus
        }
    }

    /// Returns when it is under way; waits while ``window`` others are.
    func enqueue(_ json: String, to channel: String, line: Int) async {
        await self.wait(until: Self.window - 1)
        self.state.withLock { $0.underWay += 1 }
        self.client.enqueueForReceipt(
            channel, json: json,
            completion: { result in
                switch result {
                case .success(let receipt):
                    if self.showsReceipts { print(receipt ?? "null") }
                case .failure(let error):
                    Terminal.printError("line \(line): not published: \(error.message)")
                }
                self.settle(result)
            })
    }

    /// Waits for every answer; nil when the client was stopped before the last.
    func settled() async -> ExitStatus? {
        await self.wait(until: 0)
        return self.state.withLock { $0.isStopped ? nil : $0.worst }
    }

    private func settle(_ result: Result<String?, ClientError>) {
        let waiter = self.state.withLock { state -> CheckedContinuation<Void, Never>? in
            state.underWay -= 1
            if case .failure(let error) = result {
                state.worst = error.exitStatus
                if error.code == .stopped { state.isStopped = true }
            }
            guard let waiter = state.waiter, state.underWay <= waiter.limit else { return nil }
            state.waiter = nil
            return waiter.continuation
        }
        waiter?.resume()
    }

    private func wait(until limit: Int) async {
        await withCheckedContinuation { continuation in
            let isReady = self.state.withLock { state in
                if state.underWay <= limit { return true }
                state.waiter = (limit, continuation)
                return false
            }
            if isReady { continuation.resume() }
        }
    }
}
