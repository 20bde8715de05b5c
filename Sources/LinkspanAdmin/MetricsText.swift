internal import LinkspanBridgeKit
internal import LinkspanCore
internal import LinkspanServer

/// A snapshot in the text format of Prometheus (version 0.0.4). Labels are names of the configuration and closed lists, never a client's words.
public struct MetricsText {
    public static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    private var lines: [String] = []

    public init(_ snapshot: OperatorSnapshot) {
        self.put(
            "linkspan_info", .gauge, "Version and instance; always 1.",
            [([("version", snapshot.version), ("instance", snapshot.instance.string)], 1)])
        self.put(
            "linkspan_ready", .gauge, "Whether readiness waits for nothing.", [([], snapshot.awaited.isEmpty ? 1 : 0)])
        self.put(
            "linkspan_duplicate_instance", .gauge, "Whether another instance with this id was heard of late.",
            [([], snapshot.hasDuplicates ? 1 : 0)])
        self.put(
            "linkspan_reloads_total", .counter, "Times that keys or certificates were read again.",
            [([], UInt64(clamping: snapshot.reloads.succeeded))])
        self.put(
            "linkspan_reload_failures_total", .counter, "Times that something of it stayed what it was, being wrong.",
            [([], UInt64(clamping: snapshot.reloads.failed))])
        self.put(
            "linkspan_certificate_expiry_timestamp_seconds", .gauge,
            "When the certificate that clients are shown ends.",
            snapshot.certificateEnds.map { [([], UInt64(clamping: $0))] } ?? [])
        for metric in Self.ofServer {
            let value = UInt64(clamping: snapshot.counters[keyPath: metric.path])
            self.put("linkspan_\(metric.name)", metric.kind, metric.help, [([], value)])
        }
        self.put(hooks: snapshot.hooks)
        for metric in Self.ofBridges {
            self.put(
                "linkspan_bridge_\(metric.name)", metric.kind, metric.help,
                snapshot.bridges.flatMap { bridge in
                    metric.values(bridge).map {
                        ([("bridge", bridge.name), ("type", bridge.kind)] + $0.labels, $0.value)
                    }
                })
        }
    }

    public var text: String { self.lines.joined(separator: "\n") + "\n" }

    typealias Labels = [(name: String, value: String)]

    enum Kind: String {
        case counter, gauge
    }

    mutating func put(
        _ name: String, _ kind: Kind, _ help: String, _ samples: [(labels: Labels, value: UInt64)]
    ) {
        guard !samples.isEmpty else { return }
        self.lines += ["# HELP \(name) \(help)", "# TYPE \(name) \(kind.rawValue)"]
        for sample in samples {
            let labels = sample.labels.map { "\($0.name)=\"\(Self.escaped($0.value))\"" }.joined(separator: ",")
            self.lines.append(labels.isEmpty ? "\(name) \(sample.value)" : "\(name){\(labels)} \(sample.value)")
        }
    }

    private static func escaped(_ value: String) -> String {
        value.unicodeScalars.reduce(into: "") { text, scalar in
            switch scalar {
            case "\\": text += "\\\\"
            case "\"": text += "\\\""
            case "\n": text += "\\n"
            default: text.unicodeScalars.append(scalar)
            }
        }
    }

    // MARK: Server

    private struct ServerMetric {
        var name: String
        var kind: Kind
        var path: KeyPath<ServerCounters, Int>
        var help: String

        init(_ name: String, _ kind: Kind, _ path: KeyPath<ServerCounters, Int>, _ help: String) {
            self.name = name
            self.kind = kind
            self.path = path
            self.help = help
        }
    }

    private static var ofServer: [ServerMetric] {
        [
            ServerMetric("connections", .gauge, \.connectionsOpen, "TCP connections of clients that are open."),
            ServerMetric("connections_accepted_total", .counter, \.connectionsAccepted, "TCP connections accepted."),
            ServerMetric(
                "connections_refused_total", .counter, \.connectionsRefused,
                "Connections refused because there were too many."),
            ServerMetric("clients", .gauge, \.clientsOpen, "Clients that completed a handshake and are connected."),
            ServerMetric("handshakes_total", .counter, \.handshakes, "Handshakes completed."),
            ServerMetric("subscriptions", .gauge, \.subscriptions, "Subscriptions of clients."),
            ServerMetric("channels", .gauge, \.channels, "Channels that are known, with subscribers or without."),
            ServerMetric("publishes_total", .counter, \.publishesReceived, "Publishes of clients that were accepted."),
            ServerMetric("deliveries_total", .counter, \.deliveries, "Messages handed to subscribers, once for each."),
            ServerMetric(
                "ring_calls_total", .counter, \.ringCalls,
                "System calls that wrote to several clients together (io_uring)."),
            ServerMetric("ring_writes_total", .counter, \.ringWrites, "Writes to clients in such calls."),
            ServerMetric(
                "ring_refusals_total", .counter, \.ringRefusals,
                "Event loops to which the kernel refused an io_uring."),
            ServerMetric(
                "slow_subscribers_closed_total", .counter, \.slowSubscribersClosed, "Connections closed with 4100."),
            ServerMetric(
                "protocol_faults_total", .counter, \.protocolFaults, "Connections ended for a fault of the client."),
            ServerMetric("rate_pauses_total", .counter, \.ratePauses, "Pauses of connections that published too fast."),
            ServerMetric(
                "congestion_pauses_total", .counter, \.congestionPauses,
                "Pauses of publishers because the server was full."),
            ServerMetric(
                "receipts_reached_total", .counter, \.receiptsReached,
                "Publishes answered when the bridges had done what their rules say."),
            ServerMetric(
                "receipts_failed_total", .counter, \.receiptsFailed, "Awaited publishes that a bridge gave up."),
            ServerMetric(
                "receipts_late_total", .counter, \.receiptsLate, "Awaited publishes whose time was over."),
            ServerMetric(
                "upstream_pauses_total", .counter, \.upstreamPauses,
                "Pauses of publishers because a bridge with when_full: block was full."),
            ServerMetric(
                "application_pauses_total", .counter, \.applicationPauses,
                "Pauses of connections whose calls and events were more than may wait."),
            ServerMetric(
                "injections_dropped_total", .counter, \.injectionsDropped,
                "Messages of brokers, operators and the program that found the server full."),
            ServerMetric(
                "exchange_messages_dropped_total", .counter, \.exchangeMessagesDropped,
                "Messages that subscriptions of the program had no room for."),
            ServerMetric(
                "channels_forgotten_total", .counter, \.channelsForgotten,
                "Channels forgotten because nothing had happened in them."),
            ServerMetric(
                "origins_forgotten_total", .counter, \.originsForgotten,
                "Origins forgotten in a channel because too many published into it."),
            ServerMetric(
                "batches_sent_total", .counter, \.batchesSent, "Arrays of packets sent to clients that read them."),
            ServerMetric(
                "calls_timed_out_total", .counter, \.callsTimedOut,
                "Calls of the server that a client did not answer in time."),
            ServerMetric("tokens_accepted_total", .counter, \.tokensAccepted, "Tokens that were believed."),
            ServerMetric(
                "tokens_expired_total", .counter, \.tokensExpired, "Tokens refused because their time was over."),
            ServerMetric(
                "tokens_not_active_total", .counter, \.tokensNotActive,
                "Tokens refused because their time had not come."),
            ServerMetric(
                "tokens_expired_in_session_total", .counter, \.tokensExpiredInSession,
                "Tokens whose time ended while their connection was open."),
            ServerMetric(
                "anonymous_refused_total", .counter, \.anonymousRefused,
                "Handshakes refused because they brought no valid token."),
            ServerMetric(
                "connections_revoked_total", .counter, \.connectionsRevoked,
                "Connections closed with 4104 because their token was revoked."),
            ServerMetric(
                "revocations_forgotten_total", .counter, \.revocationsForgotten,
                "Revocations forgotten because there were too many."),
            ServerMetric(
                "tokens_invalid_total", .counter, \.tokensInvalid, "Tokens refused for signature, form or claims."),
            ServerMetric(
                "tokens_revoked_total", .counter, \.tokensRevoked, "Tokens refused because they were revoked."),
            ServerMetric(
                "subscribes_denied_total", .counter, \.subscribesDenied, "Subscriptions that were not permitted."),
            ServerMetric(
                "messages_compressed_total", .counter, \.messagesCompressed,
                "Messages that were compressed, once for all subscribers who read the same."),
            ServerMetric(
                "messages_inflated_total", .counter, \.messagesInflated, "Messages of clients that came compressed."),
            ServerMetric("publishes_denied_total", .counter, \.publishesDenied, "Publishes that were not permitted."),
            ServerMetric(
                "handshakes_blocked_total", .counter, \.handshakesBlocked, "Connections that middleware refused."),
            ServerMetric(
                "messages_blocked_total", .counter, \.messagesBlocked,
                "Messages that middleware dropped before they were looked at."),
            ServerMetric(
                "actions_blocked_total", .counter, \.actionsBlocked,
                "Calls, events, subscriptions, publishes and tokens that middleware blocked."),
            ServerMetric(
                "deliveries_blocked_total", .counter, \.deliveriesBlocked,
                "Publishes that middleware kept from a subscriber, once for each."),
            ServerMetric(
                "decisions_timed_out_total", .counter, \.decisionsTimedOut,
                "Decisions that middleware did not make in time, counted as blocked too."),
        ]
    }

    // MARK: Bridges

    private struct BridgeMetric {
        var name: String
        var kind: Kind
        var help: String
        var values: (BridgeStatus) -> [(labels: Labels, value: UInt64)]

        init(_ name: String, _ kind: Kind, _ help: String, _ value: @escaping (BridgeStatus) -> UInt64) {
            self.init(name, kind, help, values: { [([], value($0))] })
        }

        init(
            _ name: String, _ kind: Kind, _ help: String,
            values: @escaping (BridgeStatus) -> [(labels: Labels, value: UInt64)]
        ) {
            self.name = name
            self.kind = kind
            self.help = help
            self.values = values
        }
    }

    private static func byReason<Reason: RawRepresentable<String>>(_ counts: ReasonCounts<Reason>) -> [(
        labels: Labels, value: UInt64
    )] {
        Reason.allCases.map { ([("reason", $0.rawValue)], counts[$0]) }
    }

    private static var ofBridges: [BridgeMetric] {
        self.links + self.promises + self.probes + self.egress + self.buffers + self.ingress + self.gaps
    }

    private static func directions(_ report: ProbeReport) -> [(String, ProbeState)] {
        [("out", report.egress), ("in", report.ingress)].compactMap { name, state in state.map { (name, $0) } }
    }

    private static func count(_ value: @escaping (ProbeReport) -> UInt64) -> (BridgeStatus) -> [(
        labels: Labels, value: UInt64
    )] {
        { status in status.probe.map { [([], value($0))] } ?? [] }
    }

    private static var promises: [BridgeMetric] {
        [
            BridgeMetric(
                "promises", .gauge, "What the guarantee rests on, by what the upstream showed of it.",
                values: { status in
                    UpstreamPromise.State.allCases.map { state in
                        ([("state", state.rawValue)], UInt64(status.promises.count { $0.state == state }))
                    }
                })
        ]
    }

    private static var probes: [BridgeMetric] {
        [
            BridgeMetric(
                "proof", .gauge, "Whether a direction is in that state; one of them is 1.",
                values: { status in
                    status.probe.map(Self.directions)?.flatMap { direction, state in
                        ProbeState.allCases.map {
                            ([("direction", direction), ("state", $0.rawValue)], $0 == state ? 1 : 0)
                        }
                    } ?? []
                }),
            BridgeMetric(
                "occupancy_withdrawn_total", .counter, "Subscriptions of instances that were gone, withdrawn here.",
                values: { status in status.occupancy.map { [([], $0.withdrawnCount)] } ?? [] }),
            BridgeMetric("probes_sent_total", .counter, "Probes sent.", values: Self.count { $0.sentCount }),
            BridgeMetric(
                "probes_returned_total", .counter, "Own probes that came back.",
                values: Self.count { $0.returnedCount }),
            BridgeMetric(
                "probes_ignored_total", .counter,
                "Probes that proved nothing: old ones, and those of too many senders.",
                values: Self.count { $0.ignoredCount }),
            BridgeMetric(
                "probe_restarts_total", .counter, "Connections that were begun anew because nothing came back.",
                values: Self.count { $0.restartCount }),
            BridgeMetric(
                "probe_round_trip_microseconds", .gauge, "From sending to the return of the last probe that came back.",
                values: { status in
                    status.probe?.roundTrip.map { [([], UInt64(clamping: $0.microseconds))] } ?? []
                }),
            BridgeMetric(
                "peers", .gauge, "Bridges of other instances at the same broker, by what we hear of them.",
                values: { status in
                    status.probe.map { report in
                        [ProbeState.proven, .suspect, .broken].map { state in
                            ([("state", state.rawValue)], UInt64(report.peers.count { $0.heard == state }))
                        }
                    } ?? []
                }),
        ]
    }

    /// Of buffers on disk; those in memory have none of these.
    private static var buffers: [BridgeMetric] {
        func ofDisk(
            _ value: @escaping (StorageStatus) -> UInt64
        ) -> (BridgeStatus) -> [(labels: Labels, value: UInt64)] {
            { status in status.storage.map { [([], value($0))] } ?? [] }
        }
        return [
            BridgeMetric(
                "buffer_failing", .gauge, "Whether the disk buffer cannot be written.",
                values: ofDisk { $0.problem == nil ? 0 : 1 }),
            BridgeMetric(
                "buffer_failures_total", .counter, "Times that the disk buffer could not be written.",
                values: ofDisk { $0.problemCount }),
            BridgeMetric(
                "buffer_unwritten_messages", .gauge, "Messages waiting to be written to the disk buffer.",
                values: ofDisk { UInt64($0.unwritten) }),
            BridgeMetric(
                "buffer_file_bytes", .gauge, "Bytes of the files of the disk buffer.",
                values: ofDisk { UInt64($0.fileBytes) }),
        ]
    }

    private static var links: [BridgeMetric] {
        [
            BridgeMetric("up", .gauge, "Whether the upstream has accepted us.") { $0.state == .up ? 1 : 0 },
            BridgeMetric("required", .gauge, "Whether readiness waits for it.") { $0.isRequired ? 1 : 0 },
            BridgeMetric("connects_total", .counter, "Times that the upstream accepted us.") { $0.connects },
            BridgeMetric("failures_total", .counter, "Attempts and connections that failed.") { $0.failures },
            BridgeMetric("buffered_bytes", .gauge, "Payloads waiting and in flight, and 64 bytes for each message.") {
                UInt64(clamping: $0.bufferedBytes)
            },
            BridgeMetric("filters", .gauge, "Filters wanted at the upstream.") { UInt64(clamping: $0.interestCount) },
            BridgeMetric(
                "interest_refused_total", .counter,
                "Channels without a subscription at the upstream: no name there, or too many."
            ) { $0.refusedInterest },
            BridgeMetric(
                "stray_confirmations_total", .counter,
                "Confirmations of nothing that was under way, by a faulty bridge."
            ) { $0.strayTickets },
            BridgeMetric("rejected_filters", .gauge, "Filters that the upstream refused.") {
                UInt64(clamping: $0.rejectedFilters)
            },
        ]
    }

    private static var egress: [BridgeMetric] {
        [
            BridgeMetric("egress_accepted_total", .counter, "Messages taken for the upstream.") { $0.egress.accepted },
            BridgeMetric("egress_confirmed_total", .counter, "Messages that the upstream has.") { $0.egress.confirmed },
            BridgeMetric("egress_filtered_total", .counter, "Messages passed over on purpose.") { $0.egress.filtered },
            BridgeMetric("egress_expired_total", .counter, "Messages older than the buffer keeps.") {
                $0.egress.expired
            },
            BridgeMetric(
                "egress_dropped_total", .counter, "Messages that will never be confirmed.",
                values: { Self.byReason($0.egress.dropped) }),
            BridgeMetric("egress_buffered_messages", .gauge, "Messages waiting.") { $0.egress.buffered },
            BridgeMetric("egress_in_flight_messages", .gauge, "Messages sent and not confirmed.") {
                $0.egress.inFlight
            },
        ]
    }

    private static var ingress: [BridgeMetric] {
        [
            BridgeMetric("ingress_received_total", .counter, "Messages from the upstream.") { $0.ingress.received },
            BridgeMetric("ingress_delivered_total", .counter, "Messages handed to their channels.") {
                $0.ingress.delivered
            },
            BridgeMetric("ingress_late_total", .counter, "Messages that came after a later one.") { $0.ingress.late },
            BridgeMetric("ingress_repaired_total", .counter, "Messages that came because they were asked for.") {
                $0.ingress.repaired
            },
            BridgeMetric("ingress_duplicate_total", .counter, "Messages that had come before.") {
                $0.ingress.duplicate
            },
            BridgeMetric("ingress_looped_total", .counter, "Own messages that came back.") { $0.ingress.looped },
            BridgeMetric(
                "ingress_refused_total", .counter, "Messages that were not handed to a channel.",
                values: { Self.byReason($0.ingress.refused) }),
            BridgeMetric("ingress_held_messages", .gauge, "Messages that are not judged yet, or wait for others.") {
                $0.ingress.held
            },
        ]
    }

    private static var gaps: [BridgeMetric] {
        [
            BridgeMetric("gap_named_messages_total", .counter, "Messages that were missing when a later one came.") {
                $0.gaps.counts.named
            },
            BridgeMetric(
                "gap_messages", .gauge, "Of those: may still come (open), came (closed), given up (final).",
                values: { status in
                    let counts = status.gaps.counts
                    return [("open", counts.open), ("closed", counts.closed), ("final", counts.final)].map {
                        ([("state", $0)], $1)
                    }
                }),
            BridgeMetric(
                "repair_remembered_bytes", .gauge,
                "What is remembered for who misses it, and 128 bytes for each message.",
                values: Self.repair { UInt64(clamping: $0.rememberedBytes) }),
            BridgeMetric(
                "repair_answered_total", .counter, "Messages that were sent again.", values: Self.repair(\.answered)),
            BridgeMetric(
                "repair_unknown_total", .counter, "Ranges asked for of which nothing is remembered.",
                values: Self.repair(\.unknown)),
            BridgeMetric(
                "repair_denied_total", .counter, "Ranges answered in part, because the requester had its share.",
                values: Self.repair(\.denied)),
        ]
    }

    /// Of bridges that repair.
    private static func repair(
        _ value: @escaping (RepairStatus) -> UInt64
    ) -> (BridgeStatus) -> [(labels: Labels, value: UInt64)] {
        { status in status.gaps.repair.map { [([], value($0))] } ?? [] }
    }
}
