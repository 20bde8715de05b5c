public import LinkspanBridgeKit
internal import NIOCore
internal import Synchronization

/// Runs a bridge against a real upstream and checks that it keeps the contract of ``LinkspanBridgeKit/Bridge``.
///
/// ```swift
/// @Test func `the bridge keeps the contract`() async throws {
///     let settings = BridgeSettings(testing: NATSBridge.self, url: upstream.url)
///     try await BridgeConformance(settings: settings) { settings in try NATSBridge(settings: settings) }.runAll()
/// }
/// ```
/// The upstream must be empty of other traffic below `conformance/`; several runs may share it. No check waits longer than
/// ``patience`` for one thing, so a bridge that hangs fails, too.
public struct BridgeConformance: Sendable {
    /// How long to wait for one thing before the check fails; 30 seconds by default, for busy machines.
    public var patience: Duration = .seconds(30)

    /// How long a bridge may take to say good-bye; ten seconds by default.
    public var goodbyeLimit: Duration = .seconds(10)

    /// How many batches a bridge may have under way while the server takes none; 16 by default.
    public var batchLimit = 16

    /// Whether the upstream carries payloads that are not text; true by default.
    public var carriesBinary = true

    let settings: BridgeSettings
    let make: @Sendable (BridgeSettings) throws -> any Bridge
    let run: String

    /// - Parameters:
    ///   - settings: where the upstream is and how to log in. Each bridge made gets them with an instance of its own.
    ///   - make: makes a bridge from settings.
    /// - Precondition: `settings` has a URL.
    public init(
        settings: BridgeSettings, make: @escaping @Sendable (BridgeSettings) throws -> any Bridge
    ) {
        precondition(!settings.urls.isEmpty, "the conformance suite needs the URL of an upstream")
        self.settings = settings
        self.make = make
        self.run = String(UInt32.random(in: .min ... .max), radix: 16)
    }

    /// Runs every check that applies, one after the other.
    ///
    /// - Throws: ``ConformanceFailure`` with a finding for each check that failed.
    public func runAll() async throws {
        try await self.run(BridgeCheck.allCases)
    }

    /// Runs `checks`, each on connections and names of its own; one that does not apply to this bridge passes.
    ///
    /// - Throws: ``ConformanceFailure`` with a finding for each check that failed.
    public func run(_ checks: [BridgeCheck]) async throws {
        var findings: [ConformanceFailure.Finding] = []
        for check in checks {
            do {
                try await self.perform(check)
            } catch {
                let message = (error as? Finding)?.message ?? "\(error)"
                findings.append(ConformanceFailure.Finding(check: check, message: message))
            }
        }
        if !findings.isEmpty { throw ConformanceFailure(findings: findings) }
    }

    private func perform(_ check: BridgeCheck) async throws {
        if check.needsPrefixes, try !self.make(self.settings).takesPrefixes { return }
        switch check {
        case .connects: try await self.withPair(check) { _ in }
        case .delivers: try await self.withPair(check, self.checkDelivery)
        case .confirms: try await self.withPair(check, self.checkConfirmations)
        case .exactFilter: try await self.withPair(check, self.checkExactFilter)
        case .prefixFilter: try await self.withPair(check, self.checkPrefixFilter)
        case .overlappingFilters: try await self.withPair(check, self.checkOverlappingFilters)
        case .unsubscribes: try await self.withPair(check, self.checkUnsubscribe)
        case .renews: try await self.withPair(check, self.checkRenewal)
        case .header: try await self.withPair(check, self.checkHeader)
        case .payloads: try await self.withPair(check, self.checkPayloads)
        case .names: try await self.withPair(check, self.checkNames)
        case .wakes: try await self.withPair(check, self.checkWakes)
        case .backpressure: try await self.withPair(check, self.checkBackpressure)
        case .cancels: try await self.withPair(check, self.checkCancel)
        case .restarts: try await self.withPair(check, self.checkRestart)
        case .shares: try await self.checkSharing()
        case .resumes: try await self.withPair(check, self.checkResume)
        case .wrongPassword: try await self.checkWrongPassword()
        case .unreachable: try await self.checkUnreachable()
        }
    }

    func site(_ suffix: String, check: BridgeCheck, _ change: (inout BridgeSettings) -> Void = { _ in }) throws -> Site
    {
        var settings = self.settings
        let number = BridgeCheck.allCases.firstIndex(of: check)!
        settings.instance = InstanceID("conformance-\(self.run)-\(number)-\(suffix)")!
        change(&settings)
        return Site(bridge: try self.make(settings), upstream: settings.urls[0])
    }

    /// Runs `body` with two connected bridges, then ends both and looks for misuse of their links.
    /// - Parameter change: made to the settings of the one that receives.
    func withPair(
        _ check: BridgeCheck, receiver change: (inout BridgeSettings) -> Void = { _ in },
        _ body: @Sendable (Pair) async throws -> Void
    ) async throws {
        let sites = (try self.site("a", check: check), try self.site("b", check: check, change))
        let pair = Pair(
            sender: sites.0.converse(), receiver: sites.1.converse(), sites: sites, patience: self.patience,
            names: TestNames(bridge: sites.0.bridge, check: check, run: self.run))
        do {
            try await pair.sender.wait(for: "a connection", atMost: self.patience) { !$0.facts.isEmpty }
            try await pair.receiver.wait(for: "a connection", atMost: self.patience) { !$0.facts.isEmpty }
            try await body(pair)
        } catch {
            for conversation in pair.conversations {
                conversation.cancel()
                _ = await conversation.end(atMost: self.goodbyeLimit)
            }
            throw error
        }
        for conversation in pair.conversations { try await self.finish(conversation) }
    }

    /// Cancels a conversation and requires that it ends in time, without an error and without having misused its link.
    func finish(_ conversation: Conversation, keepingHeld: Bool = false) async throws(Finding) {
        conversation.cancel(keepingHeld: keepingHeld)
        switch await conversation.end(atMost: self.goodbyeLimit) {
        case nil: throw Finding("run(on:) had not returned \(self.goodbyeLimit) after it was cancelled")
        case .failure(let error) where !(error is CancellationError):
            throw Finding("run(on:) was cancelled, or about to be, and threw \(error)")
        case .failure, .success: break
        }
        let (misuse, connections) = conversation.read { ($0.misuse, $0.facts.count) }
        if let first = misuse.first { throw Finding(first) }
        try require(connections <= 1, "connected was reported \(connections) times in one conversation")
    }
}

/// One bridge value, and the tickets of the messages that it was given.
final class Site: Sendable {
    let bridge: any Bridge
    let upstream: UpstreamURL
    private let ticket = Mutex<UInt64>(0)

    init(bridge: any Bridge, upstream: UpstreamURL) {
        self.bridge = bridge
        self.upstream = upstream
    }

    func converse() -> Conversation {
        .start(self.bridge, upstream: self.upstream)
    }

    func nextTicket() -> UInt64 {
        self.withNextTicket { $0 }
    }

    /// Runs `body` with a ticket that no other caller passes meanwhile, so that messages are queued in the order of their tickets.
    func withNextTicket<Value: Sendable>(_ body: (UInt64) -> Value) -> Value {
        self.ticket.withLock { ticket in
            ticket += 1
            return body(ticket)
        }
    }
}

/// Two bridges on one upstream.
final class Pair: Sendable {
    let sender: Conversation
    let receiver: Conversation
    let sites: (sender: Site, receiver: Site)
    let patience: Duration
    let names: TestNames
    private let later = Mutex<[Conversation]>([])

    init(sender: Conversation, receiver: Conversation, sites: (Site, Site), patience: Duration, names: TestNames) {
        self.sender = sender
        self.receiver = receiver
        self.sites = sites
        self.patience = patience
        self.names = names
    }

    var conversations: [Conversation] { [self.sender, self.receiver] + self.later.withLock { $0 } }

    /// Starts a further conversation of the receiving bridge, with `interest` from the beginning, and waits until it is connected.
    func converseAgain(interest: [UpstreamFilter]) async throws(Finding) -> Conversation {
        try await self.converse(self.sites.receiver, interest: interest)
    }

    /// The same with a bridge of its own.
    func converse(_ site: Site, interest: [UpstreamFilter]) async throws(Finding) -> Conversation {
        let conversation = site.converse()
        self.later.withLock { $0.append(conversation) }
        conversation.add(interest: interest.map(InterestChange.subscribe))
        try await conversation.wait(for: "a further connection", atMost: self.patience) { !$0.facts.isEmpty }
        try await self.waitUntilSettled(interest, on: conversation)
        return conversation
    }

    func subscribe(_ filters: UpstreamFilter...) async throws(Finding) {
        self.receiver.add(interest: filters.map(InterestChange.subscribe))
        try await self.waitUntilSettled(filters, on: self.receiver)
    }

    private func waitUntilSettled(_ filters: [UpstreamFilter], on conversation: Conversation) async throws(Finding) {
        try await conversation.wait(for: "\(filters.count) subscriptions to settle", atMost: self.patience) { state in
            filters.allSatisfy { state.settled[$0] != nil }
        }
        let refused = conversation.read { state in filters.filter { state.settled[$0] == false } }
        try require(refused.isEmpty, "the upstream refused to subscribe to \(refused)")
    }

    func message(_ name: String, _ payload: ByteBuffer, header: EnvelopeHeader? = nil) -> EgressMessage {
        EgressMessage(ticket: self.sites.sender.nextTicket(), name: name, payload: payload, header: header)
    }

    func message(_ name: String, _ payload: String, header: EnvelopeHeader? = nil) -> EgressMessage {
        self.message(name, ByteBuffer(string: payload), header: header)
    }

    /// Sends, and waits until the upstream has confirmed or refused everything.
    /// - Parameter other: by whom; nil for the sender.
    func send(_ messages: [EgressMessage], by other: Conversation? = nil) async throws(Finding) {
        let sender = other ?? self.sender
        sender.add(egress: messages)
        try await sender.wait(for: "\(messages.count) messages to be confirmed", atMost: self.patience) { state in
            messages.allSatisfy { state.confirmed.contains($0.ticket) || state.refused[$0.ticket] != nil }
        }
        let refused = sender.read { $0.refused }
        for message in messages {
            if let reason = refused[message.ticket] {
                throw Finding("a message to \(message.name.debugDescription) was refused: \(reason.rawValue)")
            }
        }
    }

    /// Sends one message to `name`, waits until it arrives, and returns everything received on `conversation` so far.
    func receiveUpTo(
        _ sentinel: String, on name: String, conversation: Conversation? = nil
    ) async throws(Finding) -> [IngressMessage] {
        let conversation = conversation ?? self.receiver
        try await self.send([self.message(name, sentinel)])
        let payload = ByteBuffer(string: sentinel)
        try await conversation.wait(for: "the last message, to \(name.debugDescription)", atMost: self.patience) {
            state in
            state.received.contains { $0.payload == payload }
        }
        return conversation.read { $0.received }
    }
}

extension IngressMessage {
    var text: String { String(buffer: self.payload) }
}
