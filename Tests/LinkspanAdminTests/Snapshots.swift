import LinkspanAdmin
import LinkspanBridgeKit

@testable import LinkspanCore
@testable import LinkspanServer

extension BridgeStatus {
    /// A bridge that everything has happened to, in balance.
    static func busy(_ name: String, isRequired: Bool = false, state: BridgeState = .up) -> BridgeStatus {
        var egress = EgressLedger()
        egress.accepted = 21
        egress.confirmed = 6
        egress.filtered = 1
        egress.expired = 2
        egress.dropped[.bufferFull] = 3
        egress.dropped[.linkLost] = 4
        egress.buffered = 3
        egress.inFlight = 2
        var ingress = IngressLedger()
        ingress.received = 15
        ingress.delivered = 5
        ingress.late = 1
        ingress.duplicate = 4
        ingress.looped = 3
        ingress.refused[.reserved] = 2
        ingress.held = 1
        var gaps = GapLedger()
        gaps.apply(.named(.news(1, 2...4)))
        gaps.apply(.named(.news(2, 9...9)))
        gaps.apply(.filled(id: 1, 3...3, wasFinal: false))
        gaps.apply(.final(id: 1, count: 2))
        var status = BridgeStatus(
            name: name, declaration: name.split(separator: "@").first.map(String.init) ?? name, kind: "mqtt",
            isRequired: isRequired, state: state, since: 1_700_000_000_000,
            upstream: "mqtt://127.0.0.1:1883", facts: UpstreamFacts(product: "mosquitto 2"),
            lastError: state == .up ? nil : "no route\u{1B}[2J",
            retryDelay: state == .waiting ? .milliseconds(1500) : nil,
            connects: 7, failures: 8, egress: egress, ingress: ingress, bufferedBytes: 640, interestCount: 9,
            rejectedFilters: 1, refusedInterest: 0, strayTickets: 0)
        status.promises = [
            UpstreamPromise("session", .kept, "the broker had kept it"),
            UpstreamPromise("persistence", .assumed, "nobody\u{1B}[2J knows"),
        ]
        status.gaps = GapStatus(
            counts: gaps.counts, records: gaps.records,
            repair: RepairStatus(
                rememberedMessages: 5, rememberedBytes: 700, answered: 6, unknown: 1, denied: 2, unasked: 0))
        return status
    }
}

extension Gap {
    fileprivate static func news(_ id: UInt64, _ range: ClosedRange<UInt64>) -> Gap {
        Gap(
            id: id, bridge: BridgeIndex(0), channel: "news\u{1B}[2J", instance: InstanceID("edge-2")!, epoch: 7,
            range: range, sender: InstanceID("edge-2")!, namedAt: 1_700_000_000_000)
    }
}

extension ProbeReport {
    static func with(_ egress: ProbeState?, _ ingress: ProbeState?, duplicates: [InstanceLife] = []) -> ProbeReport {
        ProbeReport(
            egress: egress, ingress: ingress, roundTrip: .microseconds(1450), sentCount: 9, returnedCount: 8,
            restartCount: 1, ignoredCount: 0,
            peers: [
                ProbeReport.Peer(
                    sender: ProbeSender(instance: InstanceID("edge-2")!, bridge: "hub"), epoch: 5,
                    sinceHeard: .milliseconds(1200), heard: .proven, roundTrip: .milliseconds(2), missedCount: 3)
            ], duplicates: duplicates)
    }
}

extension OperatorSnapshot {
    static func with(_ bridges: [BridgeStatus], isListening: Bool = true) -> OperatorSnapshot {
        var counters = ServerCounters()
        counters.clientsOpen = 2
        counters.publishesReceived = 30
        counters.deliveries = 60
        return OperatorSnapshot(
            version: "1.2.3", instance: InstanceID("edge-1")!, isListening: isListening, counters: counters,
            bridges: bridges)
    }
}
