public import LinkspanBridgeKit
internal import NIOCore
internal import Synchronization

/// A bridge to a ``LoopbackUpstream``: a whole, small example of a bridge, and a fast upstream for tests of what surrounds one.
///
/// The URL is `loopback://<name>`; only port 1 listens.
public struct LoopbackBridge: Bridge {
    public static let kind = "loopback"
    public static let schemes = ["loopback": 1]
    public static let options = [
        OptionDeclaration("batch", .integer(1...10_000), default: "256", "Most messages in one batch.")
    ]
    public static let defaultNameTemplate = "sc/{channel}"
    public static let nameRules = NameRules(reserved: [], escapesControls: false, lengthLimit: 65_535)

    public var carriesHeader: Bool { true }
    public var groupSupport: GroupSupport { .byName }

    private let settings: BridgeSettings

    public init(settings: BridgeSettings) throws(ConfigurationError) {
        guard settings.guarantee == .atMostOnce else {
            throw ConfigurationError(
                path: settings.optionsPath, message: "guarantee at_least_once is not possible in memory",
                hint: "choose guarantee at_most_once")
        }
        self.settings = settings
    }

    public func run(on link: BridgeLink) async throws {
        guard link.upstream.port == 1 else {
            throw UpstreamError(.unreachable, "nothing listens at \(link.upstream)")
        }
        let upstream = LoopbackUpstream.named(link.upstream.host)
        guard upstream.accepts(self.settings.password) else {
            throw UpstreamError(.refused, "\(link.upstream) refused the password")
        }
        let inbox = LoopbackInbox(batchLimit: self.settings.integer("batch"), link: link)
        upstream.attach(inbox, self.settings)
        defer {
            upstream.detach(inbox)
            inbox.close()
        }
        link.connected(UpstreamFacts(product: "loopback"))
        while true {
            let work = await link.nextWork(upTo: self.settings.integer("batch"))
            if work.isEmpty { return }
            upstream.change(work.interest, of: inbox)
            for case .subscribe(let filter) in work.interest { link.interestSettled(filter, accepted: true) }
            upstream.publish(
                work.egress.map { IngressMessage(name: $0.name, payload: $0.payload, header: $0.header) })
            if let first = work.egress.first, let last = work.egress.last { link.confirm(first.ticket...last.ticket) }
        }
    }
}

/// What has arrived and was not yet handed over; one batch at a time is under way.
final class LoopbackInbox: Sendable {
    private struct State {
        var waiting: [IngressMessage] = []
        var isBatchUnderWay = false
        var isClosed = false

        mutating func takeBatch(_ limit: Int) -> [IngressMessage]? {
            guard !self.isClosed, !self.isBatchUnderWay, !self.waiting.isEmpty else { return nil }
            let batch = Array(self.waiting.prefix(limit))
            self.waiting.removeFirst(batch.count)
            self.isBatchUnderWay = true
            return batch
        }
    }

    /// Beyond this many waiting messages the upstream would be an unbounded buffer; at_most_once allows to drop.
    private static let waitingLimit = 100_000

    private let state = Mutex(State())
    private let batchLimit: Int
    private let link: BridgeLink

    init(batchLimit: Int, link: BridgeLink) {
        self.batchLimit = batchLimit
        self.link = link
    }

    func append(_ message: IngressMessage) {
        self.state.withLock { state in
            if state.waiting.count < Self.waitingLimit { state.waiting.append(message) }
        }
    }

    func close() {
        self.state.withLock { $0.isClosed = true }
    }

    /// Hands over the next batch, and the ones after it as they are taken.
    func deliver() {
        guard let batch = self.state.withLock({ $0.takeBatch(self.batchLimit) }) else { return }
        self.link.deliver(batch) {
            self.state.withLock { $0.isBatchUnderWay = false }
            self.deliver()
        }
    }
}
