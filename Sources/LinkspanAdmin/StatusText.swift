/// A report for people.
public struct StatusText {
    public var report: StatusReport
    /// Whether states are coloured, for terminals.
    public var isColoured: Bool

    public init(_ report: StatusReport, isColoured: Bool = false) {
        self.report = report
        self.isColoured = isColoured
    }

    /// Lines without a last line break.
    public var text: String {
        let report = self.report
        let readiness =
            report.isReady
            ? self.colour("ready", .green)
            : self.colour("not ready", .red) + ": \(report.awaited.joined(separator: ", "))"
        var lines = [
            "\(report.instance)  Linkspan \(report.version)  \(readiness)",
            "clients \(report.clients)  subscriptions \(report.subscriptions)  channels \(report.channels)  "
                + "published \(report.published)  delivered \(report.delivered)",
        ]
        for bridge in report.bridges { lines += self.lines(of: bridge) }
        for hook in report.hooks { lines += self.lines(of: hook) }
        return lines.joined(separator: "\n")
    }

    private func lines(of bridge: StatusReport.Bridge) -> [String] {
        let product = bridge.product.map { " (\($0))" } ?? ""
        let required = bridge.isRequired ? "  required" : ""
        let out = bridge.egress
        let back = bridge.ingress
        var lines = [
            "",
            "\(bridge.name)  \(bridge.type)  \(self.state(bridge.state))\(required)  \(bridge.upstream)\(product)",
            "  out  accepted \(out.accepted) = confirmed \(out.confirmed) + filtered \(out.filtered) + expired \(out.expired) "
                + "+ dropped \(Self.total(out.dropped)) + buffered \(out.buffered) + in flight \(out.inFlight)",
            "  in   received \(back.received) = delivered \(back.delivered) + duplicate \(back.duplicate) "
                + "+ looped \(back.looped) + refused \(Self.total(back.refused)) + held \(back.held)",
            "  connects \(bridge.connects)  failures \(bridge.failures)  filters \(bridge.filters)  "
                + "rejected filters \(bridge.rejectedFilters)  buffered bytes \(bridge.bufferedBytes)",
        ]
        lines.insert(contentsOf: self.proof(of: bridge) + self.promises(of: bridge), at: 2)
        if let group = bridge.group { lines.insert("  group  \(group): one of its instances gets each message", at: 2) }
        lines.insert(contentsOf: self.gaps(of: bridge), at: lines.count - 1)
        if let occupancy = bridge.occupancy {
            lines.append(
                "  occupancy  instances \(occupancy.instances)  subscriptions \(occupancy.entries)  "
                    + "withdrawn \(occupancy.withdrawn)  told again \(occupancy.repeated)")
        }
        lines += Self.reasons("dropped", out.dropped) + Self.reasons("refused", back.refused)
        if let buffer = bridge.buffer { lines += self.lines(of: buffer) }
        if let error = bridge.lastError { lines.append("  last error: \(Self.printable(error))") }
        if let pause = bridge.retryMilliseconds { lines.append("  pause before the next attempt: \(pause) ms") }
        return lines
    }

    private func lines(of buffer: StatusReport.Buffer) -> [String] {
        let state =
            buffer.state == "ready" ? self.colour(buffer.state, .green) : self.colour(buffer.state, .red)
        var lines = [
            "  disk buffer \(state)  files \(buffer.files)  file bytes \(buffer.fileBytes)  recovered \(buffer.recovered)  "
                + "unwritten \(buffer.unwritten)  on disk only \(buffer.onDiskOnly)"
        ]
        if let problem = buffer.problem { lines.append("  disk buffer: \(Self.printable(problem))") }
        return lines
    }

    private func lines(of hook: StatusReport.Hook) -> [String] {
        let state = hook.isLeftAlone ? self.colour("left alone", .yellow) : self.colour("asked", .green)
        let failures = hook.failures.mapValues { UInt64(clamping: $0) }
        return [
            "", "\(hook.name)  hook  \(state)",
            "  asked \(hook.asked) = answered \(hook.answered) + failed \(Self.total(failures)) + waiting \(hook.waiting) "
                + "+ under way \(hook.underWay)",
        ] + Self.reasons("failed", failures)
    }

    /// Gaps that are shown, the latest ones; `--json` has the others.
    private static let shownGaps = 10

    private func gaps(of bridge: StatusReport.Bridge) -> [String] {
        let gaps = bridge.gaps
        var lines: [String] = []
        if gaps.named > 0 {
            let final = gaps.final > 0 ? self.colour("final \(gaps.final)", .red) : "final 0"
            lines.append("  gaps named \(gaps.named) = open \(gaps.open) + closed \(gaps.closed) + \(final)")
        }
        lines += gaps.list.filter { $0.missing > 0 }.suffix(Self.shownGaps).map { gap in
            let numbers = gap.from == gap.to ? "\(gap.from)" : "\(gap.from) to \(gap.to)"
            return "    \(gap.state)  \(Self.printable(gap.channel))  \(gap.origin)/\(gap.epoch)  \(numbers)  "
                + "missing \(gap.missing)"
        }
        if let repair = bridge.repair {
            lines.append(
                "  repair  repaired \(bridge.ingress.repaired)  sent again \(repair.answered)  "
                    + "remembered \(repair.rememberedMessages) (\(repair.rememberedBytes) bytes)")
        }
        return lines
    }

    private func proof(of bridge: StatusReport.Bridge) -> [String] {
        guard let probe = bridge.probe else { return ["  probes are off"] }
        let directions = [("out", probe.egress), ("in", probe.ingress)].compactMap { name, state in
            state.map { "\(name) \(self.state($0))" }
        }
        let counts = "sent \(probe.sent)  returned \(probe.returned)  restarts \(probe.restarts)"
        var lines = [
            "  proof  \(directions.joined(separator: "  "))\(Self.time(probe.roundTripMicroseconds))  \(counts)"
        ]
        if let obstacle = probe.obstacle { lines.append("  proof is not possible: \(Self.printable(obstacle))") }
        lines += probe.duplicates.map {
            self.colour("  another instance uses this id", .red) + ", started \($0.epoch) (\($0.nonce))"
        }
        lines += probe.peers.map { peer in
            "  peer  \(peer.instance)  \(Self.printable(peer.bridge))  heard \(self.state(peer.heard))"
                + "  hears us \(peer.hears.map(self.state) ?? "unknown")\(Self.time(peer.roundTripMicroseconds))"
                + "  last \(peer.sinceHeard) ms ago  missed \(peer.missed)"
        }
        return lines
    }

    private func promises(of bridge: StatusReport.Bridge) -> [String] {
        bridge.promises.map { $0.line(self.state, Self.printable) }
    }

    private static func time(_ microseconds: Int64?) -> String {
        microseconds.map { "  \($0 / 1000).\($0 % 1000 / 100) ms" } ?? ""
    }

    private static func total(_ counts: [String: UInt64]) -> UInt64 { counts.values.reduce(0, +) }

    /// Only the reasons that occurred.
    private static func reasons(_ name: String, _ counts: [String: UInt64]) -> [String] {
        let parts = counts.filter { $0.value > 0 }.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
        return parts.isEmpty ? [] : ["  \(name): \(parts.joined(separator: ", "))"]
    }

    /// The words of a broker must not steer the terminal.
    private static func printable(_ text: String) -> String {
        String(
            String.UnicodeScalarView(text.unicodeScalars.map { $0.properties.generalCategory == .control ? " " : $0 }))
    }

    private enum Colour: Int {
        case red = 31
        case green = 32
        case yellow = 33
    }

    private func state(_ state: String) -> String {
        switch state {
        case "up", "proven", "kept": self.colour(state, .green)
        case "stopped", "broken": self.colour(state, .red)
        default: self.colour(state, .yellow)
        }
    }

    private func colour(_ word: String, _ colour: Colour) -> String {
        self.isColoured ? "\u{1B}[\(colour.rawValue)m\(word)\u{1B}[0m" : word
    }
}
