internal import LinkspanWire
public import Logging
internal import NIOCore
internal import NIOPosix
internal import NIOWebSocket
internal import Synchronization

/// A client of SocketCluster servers: stays connected, keeps its subscriptions over reconnects, and knows what became of each publish.
///
/// Every method may be called on any thread, before ``run(_:)`` too.
public final class SocketClusterClient: Sendable {
    public let settings: ClientSettings
    private let logger: Logger
    private let desk: ClientDesk

    public init(settings: ClientSettings, logger: Logger) {
        self.settings = settings
        self.logger = logger
        self.desk = ClientDesk(waitingLimit: settings.waitingPublishes)
    }

    /// Subscribes now and after every reconnect.
    public func subscribe(_ channel: String) {
        self.desk.subscribe(channel)
    }

    public func unsubscribe(_ channel: String) {
        self.desk.unsubscribe(channel)
    }

    /// Publishes, and returns when the server has acknowledged it.
    ///
    /// - Parameter json: the data, JSON text; nil publishes without data.
    /// - Returns: the data of the answer, JSON text: a receipt where the rules of the server ask for one; else nil.
    /// - Throws: ``ClientError``. After `lost` and `timedOut` the server may have taken the publish nevertheless.
    @discardableResult
    public func publish(_ channel: String, json: String?) async throws(ClientError) -> String? {
        let result = await withCheckedContinuation { continuation in
            self.enqueueForReceipt(channel, json: json, completion: { continuation.resume(returning: $0) })
        }
        return try result.get()
    }

    /// The same without waiting: publishes leave in the order of these calls, and `completion` runs once, on any thread.
    public func enqueue(
        _ channel: String, json: String?, completion: @escaping @Sendable (Result<Void, ClientError>) -> Void
    ) {
        self.enqueueForReceipt(channel, json: json, completion: { completion($0.map { _ in }) })
    }

    /// The same, with the data of the answer as ``publish(_:json:)`` returns it.
    public func enqueueForReceipt(
        _ channel: String, json: String?,
        completion: @escaping @Sendable (Result<String?, ClientError>) -> Void
    ) {
        var data: JSONText?
        if let json {
            do throws(JSONError) {
                data = try JSONText(validating: json)
            } catch {
                completion(
                    .failure(ClientError(.refused, "the data is not JSON: \(error.reason) at byte \(error.offset)")))
                return
            }
        }
        self.desk.publish(channel, data, deadline: .now + self.settings.ackTimeout, completion)
    }

    /// Connects, and connects again whenever the connection is lost, until the task is cancelled; waiting publishes then fail.
    ///
    /// - Parameter handle: told everything in order. While it has not returned no more is read: a slow consumer slows the server.
    /// - Throws: ``ClientError`` when it makes no sense to go on: the server dismissed us, or refused the handshake.
    public func run(_ handle: @escaping @Sendable (ClientEvent) async -> Void) async throws(ClientError) {
        defer { self.desk.stop() }
        var pause = ReconnectPause(initial: self.settings.retryInitial, maximum: self.settings.retryMaximum)
        var random = SystemRandomNumberGenerator()
        while !Task.isCancelled {
            let (wasOpen, error) = await self.connection(handle)
            if Task.isCancelled { return }
            if error.code == .dismissed || error.code == .refused || error.code == .badURL { throw error }
            if wasOpen { pause.succeeded() }
            let delay = pause.failed(using: &random)
            self.logger.debug("Disconnected", metadata: ["client.error": "\(error)", "client.retry_in": "\(delay)"])
            await handle(.disconnected(error, retryIn: delay))
            await self.wait(delay)
        }
    }

    /// Waits, and lets publishes expire meanwhile.
    private func wait(_ delay: Duration) async {
        let end = ContinuousClock.now + delay
        while !Task.isCancelled, ContinuousClock.now < end {
            let next = min(end, ContinuousClock.now + Self.tick)
            try? await Task.sleep(until: next, clock: .continuous)
            self.desk.expire(now: .now)
        }
    }

    static let tick = Duration.milliseconds(100)

    // MARK: One connection

    /// Returns when the connection has ended; never throws, so that each end has one cause.
    private func connection(_ handle: @escaping @Sendable (ClientEvent) async -> Void) async -> (
        wasOpen: Bool, ClientError
    ) {
        let frames: ClientTransport.Frames
        do throws(ClientError) {
            frames = try await self.opened()
        } catch {
            return (false, error)
        }
        let link = ClientLink(desk: self.desk, settings: self.settings, handle: handle)
        do {
            try await frames.executeThenClose { inbound, outbound in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await link.read(inbound) }
                    group.addTask { try await link.write(outbound) }
                    group.addTask { try await link.watch() }
                    defer { group.cancelAll() }
                    try await group.next()
                }
            }
        } catch {
            self.desk.disconnect(error as? ClientError ?? ClientError(.lost, "the connection broke: \(error)"))
        }
        return self.desk.disconnect(ClientError(.lost, "the connection ended"))
    }

    /// Opens the transport while publishes that wait for it may expire.
    private func opened() async throws(ClientError) -> ClientTransport.Frames {
        let settings = self.settings
        let desk = self.desk
        let opening = Task { () -> Result<ClientTransport.Frames, ClientError> in
            do throws(ClientError) {
                return .success(try await ClientTransport.open(settings, on: MultiThreadedEventLoopGroup.singleton))
            } catch {
                return .failure(error)
            }
        }
        let expiry = Task {
            while !Task.isCancelled {
                try await Task.sleep(for: Self.tick)
                desk.expire(now: .now)
            }
        }
        defer { expiry.cancel() }
        return try await opening.value.get()
    }
}
