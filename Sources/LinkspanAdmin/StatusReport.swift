internal import Foundation
internal import LinkspanBridgeKit
internal import LinkspanCore
internal import LinkspanServer

/// What `/status` says, for whoever writes and whoever reads it.
public struct StatusReport: Codable, Hashable, Sendable {
    public var version: String
    public var instance: String
    public var isReady: Bool
    /// What readiness waits for; empty when ready.
    public var awaited: [String]
    /// Clients that completed a handshake and are connected.
    public var clients: Int
    public var subscriptions: Int
    public var channels: Int
    /// Publishes of clients that were accepted.
    public var published: Int
    /// Messages handed to subscribers' connections, once per subscriber.
    public var delivered: Int
    public var bridges: [Bridge]
    public var hooks: [Hook]

    public struct Bridge: Codable, Hashable, Sendable {
        public var name: String
        public var type: String
        public var isRequired: Bool
        /// A `BridgeState`.
        public var state: String
        /// Since when it is in that state, milliseconds since 1970.
        public var since: UInt64
        /// Without credentials.
        public var upstream: String
        public var product: String?
        /// Who shares what arrives; nil when every instance gets everything.
        public var group: String?
        public var lastError: String?
        /// From the end of the last attempt to the next, milliseconds; nil unless waiting.
        public var retryMilliseconds: Int64?
        public var connects: UInt64
        public var failures: UInt64
        public var egress: Egress
        public var ingress: Ingress
        public var bufferedBytes: Int
        /// Filters wanted at the upstream, and those of them that it refused.
        public var filters: Int
        public var rejectedFilters: Int
        /// Nil when the bridge sends and expects no probes.
        public var probe: Probe?
        /// Nil when the bridge does not mirror subscriptions both ways.
        public var occupancy: Occupancy?
        /// What was seen of the things that its guarantee rests on, when the upstream last accepted us and since.
        public var promises: [Promise]
        /// Of a buffer on disk; nil for one in memory.
        public var buffer: Buffer?
        public var gaps: Gaps
        /// Nil when the bridge does not repair.
        public var repair: Repair?

        enum CodingKeys: String, CodingKey {
            case name, type, state, since, upstream, product, group, connects, failures, egress, ingress, filters,
                probe,
                promises, occupancy, buffer, gaps, repair
            case isRequired = "required"
            case lastError = "last_error"
            case retryMilliseconds = "retry_ms"
            case bufferedBytes = "buffered_bytes"
            case rejectedFilters = "rejected_filters"
        }
    }

    /// What became of mirrored subscriptions of instances that died.
    public struct Occupancy: Codable, Hashable, Sendable {
        /// Other instances, and their subscriptions.
        public var instances, entries: Int
        /// Subscriptions that this instance withdrew for others, own ones that it told once more, and those of others that found no room.
        public var withdrawn, repeated, ignored: UInt64
    }

    /// What probes have shown. States are those of `ProbeState`; a direction that the rule does not have is absent.
    public struct Probe: Codable, Hashable, Sendable {
        public var egress: String?
        public var ingress: String?
        public var roundTripMicroseconds: Int64?
        public var sent, returned, restarts, ignored: UInt64
        /// What keeps probes from proving anything.
        public var obstacle: String?
        public var peers: [Peer]
        public var duplicates: [Duplicate]

        enum CodingKeys: String, CodingKey {
            case egress = "out"
            case ingress = "in"
            case roundTripMicroseconds = "round_trip_us"
            case sent, returned, restarts, ignored, obstacle, peers, duplicates
        }
    }

    /// A bridge of another instance at the same upstream.
    public struct Peer: Codable, Hashable, Sendable {
        public var instance, bridge: String
        /// Start of its run, milliseconds since 1970.
        public var epoch: UInt64
        /// Milliseconds.
        public var sinceHeard: Int64
        /// Whether we hear it, and whether it hears us.
        public var heard: String
        public var hears: String?
        public var roundTripMicroseconds: Int64?
        public var missed: UInt64

        enum CodingKeys: String, CodingKey {
            case instance, bridge, epoch, heard, hears, missed
            case sinceHeard = "since_heard_ms"
            case roundTripMicroseconds = "round_trip_us"
        }
    }

    /// Another run under our own id.
    public struct Duplicate: Codable, Hashable, Sendable {
        public var epoch: UInt64
        public var nonce: String
    }

    /// A buffer on disk.
    public struct Buffer: Codable, Hashable, Sendable {
        /// `opening`, `ready`, or `failing` while nothing can be written.
        public var state: String
        /// Why nothing can be written.
        public var problem: String?
        /// How often writing failed.
        public var failures: UInt64
        /// Messages of an earlier run that were found at the start.
        public var recovered: UInt64
        /// Messages that wait to be written, and those that are on disk and not in memory.
        public var unwritten, onDiskOnly: UInt64
        public var files, fileBytes: Int

        enum CodingKeys: String, CodingKey {
            case state, problem, failures, recovered, unwritten, files
            case onDiskOnly = "on_disk_only"
            case fileBytes = "file_bytes"
        }
    }

    /// `accepted = confirmed + filtered + expired + dropped + buffered + in_flight`.
    public struct Egress: Codable, Hashable, Sendable {
        public var accepted, confirmed, filtered, expired: UInt64
        /// Every reason, also those that did not occur.
        public var dropped: [String: UInt64]
        public var buffered, inFlight: UInt64

        enum CodingKeys: String, CodingKey {
            case accepted, confirmed, filtered, expired, dropped, buffered
            case inFlight = "in_flight"
        }
    }

    /// `received = delivered + duplicate + looped + refused + held`; `late` came after a later one of the same origin and channel, `repaired`
    /// of them because it was asked for.
    public struct Ingress: Codable, Hashable, Sendable {
        public var received, delivered, late, repaired, duplicate, looped: UInt64
        /// Every reason, also those that did not occur.
        public var refused: [String: UInt64]
        public var held: UInt64
    }

    enum CodingKeys: String, CodingKey {
        case version, instance, awaited, clients, subscriptions, channels, published, delivered, bridges, hooks
        case isReady = "ready"
    }

    public init(_ snapshot: OperatorSnapshot) {
        self.version = snapshot.version
        self.instance = snapshot.instance.string
        self.awaited = snapshot.awaited
        self.isReady = self.awaited.isEmpty
        self.clients = snapshot.counters.clientsOpen
        self.subscriptions = snapshot.counters.subscriptions
        self.channels = snapshot.counters.channels
        self.published = snapshot.counters.publishesReceived
        self.delivered = snapshot.counters.deliveries
        self.bridges = snapshot.bridges.map(Bridge.init)
        self.hooks = snapshot.hooks.map(Hook.init)
    }

    /// - Throws: `DecodingError` when `json` is no report.
    public init(json: [UInt8]) throws {
        self = try JSONDecoder().decode(Self.self, from: Data(json))
    }

    /// - Throws: `EncodingError`, never for a report made from a snapshot.
    public func json() throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(self))
    }
}

extension StatusReport.Bridge {
    init(_ status: BridgeStatus) {
        self.name = status.name
        self.type = status.kind
        self.isRequired = status.isRequired
        self.state = status.state.rawValue
        self.since = status.since
        self.upstream = status.upstream
        self.product = status.facts?.product
        self.group = status.group
        self.lastError = status.lastError
        self.retryMilliseconds = status.retryDelay.map { Int64($0 / .milliseconds(1)) }
        self.connects = status.connects
        self.failures = status.failures
        self.egress = StatusReport.Egress(status.egress)
        self.ingress = StatusReport.Ingress(status.ingress)
        self.bufferedBytes = status.bufferedBytes
        self.filters = status.interestCount
        self.rejectedFilters = status.rejectedFilters
        self.probe = status.probe.map(StatusReport.Probe.init)
        self.occupancy = status.occupancy.map { report in
            StatusReport.Occupancy(
                instances: report.instanceCount, entries: report.entryCount, withdrawn: report.withdrawnCount,
                repeated: report.repeatedCount, ignored: report.ignoredCount)
        }
        self.promises = status.promises.map(StatusReport.Promise.init)
        self.buffer = status.storage.map { StatusReport.Buffer($0, recovered: status.egress.recovered) }
        self.gaps = StatusReport.Gaps(status.gaps)
        self.repair = status.gaps.repair.map(StatusReport.Repair.init)
    }
}

extension StatusReport.Probe {
    init(_ report: ProbeReport) {
        self.init(
            egress: report.egress?.rawValue, ingress: report.ingress?.rawValue,
            roundTripMicroseconds: report.roundTrip?.microseconds, sent: report.sentCount,
            returned: report.returnedCount, restarts: report.restartCount, ignored: report.ignoredCount,
            obstacle: report.obstacle, peers: report.peers.map(StatusReport.Peer.init),
            duplicates: report.duplicates.map { .init(epoch: $0.epoch, nonce: String($0.nonce, radix: 16)) })
    }
}

extension StatusReport.Peer {
    init(_ peer: ProbeReport.Peer) {
        self.init(
            instance: peer.sender.instance.string, bridge: peer.sender.bridge, epoch: peer.epoch,
            sinceHeard: peer.sinceHeard.microseconds / 1000, heard: peer.heard.rawValue, hears: peer.hears?.rawValue,
            roundTripMicroseconds: peer.roundTrip?.microseconds, missed: peer.missedCount)
    }
}

extension Duration {
    var microseconds: Int64 {
        let (seconds, attoseconds) = self.components
        return seconds * 1_000_000 + attoseconds / 1_000_000_000_000
    }
}

extension StatusReport.Buffer {
    init(_ storage: StorageStatus, recovered: UInt64) {
        self.init(
            state: storage.state, problem: storage.problem?.text, failures: storage.problemCount, recovered: recovered,
            unwritten: UInt64(storage.unwritten), onDiskOnly: storage.onDiskOnly, files: storage.segments,
            fileBytes: storage.fileBytes)
    }
}

extension StatusReport.Egress {
    init(_ ledger: EgressLedger) {
        self.init(
            accepted: ledger.accepted, confirmed: ledger.confirmed, filtered: ledger.filtered, expired: ledger.expired,
            dropped: ledger.dropped.byName, buffered: ledger.buffered, inFlight: ledger.inFlight)
    }
}

extension StatusReport.Ingress {
    init(_ ledger: IngressLedger) {
        self.init(
            received: ledger.received, delivered: ledger.delivered, late: ledger.late, repaired: ledger.repaired,
            duplicate: ledger.duplicate, looped: ledger.looped, refused: ledger.refused.byName, held: ledger.held)
    }
}

extension ReasonCounts where Reason: RawRepresentable<String> {
    fileprivate var byName: [String: UInt64] {
        Dictionary(Reason.allCases.map { ($0.rawValue, self[$0]) }, uniquingKeysWith: { first, _ in first })
    }
}
