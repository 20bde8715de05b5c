/// Ways that a message may take from site to site.
extension Topology {
    /// A leg by site and position.
    struct Place: Hashable {
        var site: Int
        var leg: Int
    }

    /// Steps that a walk over all sites takes at most; what lies beyond is not told.
    private static let stepLimit = 20_000
    /// Findings of one sort.
    private static let findingLimit = 20

    func leg(_ place: Place) -> Leg { self.sites[place.site].bridges[place.leg] }

    private var places: [Place] {
        self.sites.indices.flatMap { site in self.sites[site].bridges.indices.map { Place(site: site, leg: $0) } }
    }

    /// Whether what `sender` sends arrives at `receiver`.
    private func feeds(_ sender: Leg, _ receiver: Leg) -> Bool {
        guard sender.sends, receiver.receives, sender.medium.meets(receiver.medium) else { return false }
        return sender.template == receiver.template
    }

    /// Legs that carry onward what `place` receives.
    private func onward(from place: Place) -> [Place] {
        let received = self.leg(place)
        return self.sites[place.site].bridges.indices.lazy.map { Place(site: place.site, leg: $0) }.filter { next in
            let leg = self.leg(next)
            return leg.bridge != received.bridge && leg.sends && leg.transit.contains(received.bridge)
        }
    }

    private func receivers(of place: Place) -> [Place] {
        let sender = self.leg(place)
        return self.places.filter { $0 != place && self.feeds(sender, self.leg($0)) }
    }

    private func commonChannel(_ path: [Place]) -> String? {
        guard case .example(let channel) = ChannelSearch.text(inAll: Set(path).map { self.leg($0).area }) else {
            return nil
        }
        return channel
    }

    // MARK: Loops

    /// Ways on which a message comes back to the leg that received it. Within a site that is an error; over several sites it is
    /// how rings are built: hops stop it, and it is told.
    func loops() -> [Finding] {
        var findings: [Finding] = []
        var seen: Set<Set<Place>> = []
        var steps = 0
        for start in self.places where self.leg(start).receives {
            self.walk(from: start, path: [start], steps: &steps) { path in
                guard findings.count < Self.findingLimit, seen.insert(Set(path)).inserted else { return }
                guard let channel = self.commonChannel(path) else { return }
                findings.append(self.loop(path, channel))
            }
        }
        return findings
    }

    /// Calls `found` with every way back to `start`, as receiving and sending legs in turn.
    private func walk(from start: Place, path: [Place], steps: inout Int, found: ([Place]) -> Void) {
        guard let last = path.last else { return }
        for sender in self.onward(from: last) where !path.contains(sender) {
            for receiver in self.receivers(of: sender) {
                steps += 1
                guard steps < Self.stepLimit else { return }
                if receiver == start {
                    found(path + [sender])
                } else if !path.contains(receiver),
                    !path.contains(where: { $0.site == receiver.site && $0.site != last.site })
                {
                    self.walk(from: start, path: path + [sender, receiver], steps: &steps, found: found)
                }
            }
        }
    }

    private func loop(_ path: [Place], _ channel: String) -> Finding {
        let sites = Set(path.map(\.site))
        let isWithin = sites.count == 1
        var text = self.leg(path[0]).place
        for pair in stride(from: 0, to: path.count - 1, by: 2) {
            let received = self.leg(path[pair])
            let sent = self.leg(path[pair + 1])
            let label = isWithin ? "" : "\(self.sites[path[pair].site].label): "
            text +=
                " -> \(label)\(received.bridge)(in) -> \(sent.bridge)(out, transit \(received.bridge)) -> \(sent.place)"
        }
        var names: [String] = []
        for place in path where !names.contains(self.leg(place).bridge) { names.append(self.leg(place).bridge) }
        let quoted = names.map { "\"\($0)\"" }
        let list = quoted.dropLast().joined(separator: ", ") + (quoted.count > 1 ? " and " : "") + (quoted.last ?? "")
        let told = path[path.count - 1]
        return Finding(
            isError: isWithin, site: told.site, path: "bridges.\(self.leg(told).bridge).transit",
            message:
                "\(quoted.count == 1 ? "bridge" : "bridges") \(list) form\(quoted.count == 1 ? "s" : "") a loop: \(text)",
            hint: isWithin
                ? "channel \"\(channel)\", for example, would go back to where it came from; take out one transit"
                : "hops stop each message of channel \"\(channel)\", for example, where it was before; without redundancy in mind take out one transit"
        )
    }

    // MARK: Double paths

    /// Sites that a message reaches on two ways.
    func doublePaths() -> [Finding] {
        var findings: [Finding] = []
        var steps = 0
        for start in self.sites.indices {
            var paths: [Int: [[Place]]] = [:]
            for leg in self.sites[start].bridges.indices where self.sites[start].bridges[leg].sends {
                self.spread([Place(site: start, leg: leg)], steps: &steps) { path in
                    guard let end = path.last?.site, paths[end, default: []].count < 8 else { return }
                    paths[end, default: []].append(path)
                }
            }
            for end in paths.keys.sorted() where end > start {
                guard findings.count < Self.findingLimit, let pair = self.doublePair(paths[end] ?? []) else { continue }
                findings.append(self.doublePath(pair.0, pair.1, pair.channel))
            }
        }
        return findings
    }

    /// Calls `found` with every way that visits no site twice; it ends with a receiving leg.
    private func spread(_ path: [Place], steps: inout Int, found: ([Place]) -> Void) {
        guard let sender = path.last else { return }
        for receiver in self.receivers(of: sender) where !path.contains(where: { $0.site == receiver.site }) {
            steps += 1
            guard steps < Self.stepLimit else { return }
            found(path + [receiver])
            for next in self.onward(from: receiver) {
                self.spread(path + [receiver, next], steps: &steps, found: found)
            }
        }
    }

    /// Two ways that a channel takes both, other than the legs of one bridge over several brokers, which are meant.
    private func doublePair(_ paths: [[Place]]) -> ([Place], [Place], channel: String)? {
        for (index, second) in paths.enumerated() {
            for first in paths[..<index] {
                let names = [first, second].map { path in path.map { "\($0.site) \(self.leg($0).bridge)" } }
                let start = (self.leg(first[0]), self.leg(second[0]))
                guard names[0] != names[1],
                    first.count > 2 || second.count > 2 || !start.0.medium.meets(start.1.medium),
                    let channel = self.commonChannel(first + second)
                else { continue }
                return (first, second, channel)
            }
        }
        return nil
    }

    private func doublePath(_ first: [Place], _ second: [Place], _ channel: String) -> Finding {
        let end = self.sites[first[first.count - 1].site].label
        return Finding(
            isError: false, site: first[0].site, path: "bridges.\(self.leg(second[0]).bridge)",
            message:
                "channel \"\(channel)\", for example, reaches \(end) on two ways: \(self.text(first)), and \(self.text(second))",
            hint: "receivers drop the second copy; where redundancy is meant, one bridge with brokers: [...] says so")
    }

    private func text(_ path: [Place]) -> String {
        var parts: [String] = []
        for pair in stride(from: 0, to: path.count - 1, by: 2) {
            let sender = self.leg(path[pair])
            parts.append("\(self.sites[path[pair].site].label) \(sender.bridge) -> \(sender.broker)")
        }
        return parts.joined(separator: " -> ")
    }
}
