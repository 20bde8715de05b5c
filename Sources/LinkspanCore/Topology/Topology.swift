public import LinkspanBridgeKit

/// Which bridges of which sites meet at which upstream, to tell before anything runs what would loop, come twice, collide or never happen.
///
/// Pure, offline. A finding holds for channels that do exist in both patterns, and names one; a pattern that is too intricate to decide
/// is passed over.
public struct Topology: Sendable {
    /// What one `bridges.yaml` declares.
    public struct Site: Sendable {
        /// For messages: the file's name.
        public var label: String
        public var instance: InstanceID
        public var bridges: [Leg]

        public init(label: String, instance: InstanceID, bridges: [Leg]) {
            self.label = label
            self.instance = instance
            self.bridges = bridges
        }
    }

    /// Where names live: two legs meet when they are of one kind, in one namespace, and share an address.
    public struct Medium: Sendable, Hashable {
        public var kind: String
        /// Values of the kind's ``Bridge/namespaceOptions``.
        public var namespace: [String]
        public var addresses: Set<String>

        public init(kind: String, namespace: [String], urls: [UpstreamURL]) {
            self.kind = kind
            self.namespace = namespace
            self.addresses = Set(
                urls.map { url in
                    let isLoopback = ["localhost", "::1"].contains(url.host.lowercased()) || url.host.hasPrefix("127.")
                    return "\(isLoopback ? "127.0.0.1" : url.host.lowercased()):\(url.port)/\(url.path ?? "")"
                })
        }

        func meets(_ other: Medium) -> Bool {
            self.kind == other.kind && self.namespace == other.namespace
                && !self.addresses.isDisjoint(with: other.addresses)
        }
    }

    /// One bridge at one broker.
    public struct Leg: Sendable {
        /// As in the file.
        public var bridge: String
        /// A key of `brokers`.
        public var broker: String
        public var medium: Medium
        public var selector: ChannelSelector
        public var template: NameTemplate
        public var sends: Bool
        public var receives: Bool
        /// Who shares what arrives; nil when every instance gets everything.
        public var group: String?
        /// Names of bridges whose ingress this one carries onward.
        public var transit: Set<String>

        public init(
            bridge: String, broker: String, medium: Medium, selector: ChannelSelector, template: NameTemplate,
            sends: Bool, receives: Bool, group: String? = nil, transit: Set<String>
        ) {
            self.bridge = bridge
            self.broker = broker
            self.medium = medium
            self.selector = selector
            self.template = template
            self.sends = sends
            self.receives = receives
            self.group = group
            self.transit = transit
        }

        var area: ChannelSearch.Area { ChannelSearch.Area(self.selector) }

        /// Its upstream names, with the upstream's separator written as `/`; the channel's part is never empty.
        var names: [ChannelSearch.Area] {
            let prefix = self.plain(self.template.prefix)
            let suffix = self.plain(self.template.suffix)
            let something = ["?**", "/**"].compactMap { try? Glob($0) }
            return [
                ChannelSearch.Area(self.selector, prefix: prefix, suffix: suffix),
                ChannelSearch.Area(include: something, prefix: prefix, suffix: suffix),
            ]
        }

        func plain(_ text: String) -> String {
            let separator = Unicode.Scalar(self.template.rules.separator)
            var plain = String.UnicodeScalarView()
            plain.append(contentsOf: text.unicodeScalars.map { $0 == separator ? "/" : $0 })
            return String(plain)
        }

        /// `hub sc/{channel}`
        var place: String { "\(self.broker) \(self.template)" }
    }

    /// Something that is wrong, or surely not meant.
    public struct Finding: Sendable, Hashable {
        /// Whether it makes the configuration useless as written; else it works, and is surprising.
        public var isError: Bool
        /// Index of the site in whose file it is told.
        public var site: Int
        /// Key path such as `bridges.plant.transit`.
        public var path: String
        public var message: String
        public var hint: String?
    }

    let sites: [Site]

    public init(_ sites: [Site]) {
        self.sites = sites
    }

    /// Everything that is to be said of each site alone, and then of all of them together. In the order of the files.
    public func findings() -> [Finding] {
        var findings: [Finding] = []
        for index in self.sites.indices {
            findings += self.emptyRules(at: index)
            findings += self.uselessTransit(at: index)
            findings += self.meetings(at: index)
            findings += self.sharedGroups(at: index)
        }
        findings += self.loops()
        guard self.sites.count > 1 else { return findings }
        return findings + self.sharedIdentities() + self.collisionsBetweenSites() + self.unlikeMembers()
            + self.doublePaths()
    }

    // MARK: One site

    private func emptyRules(at site: Int) -> [Finding] {
        var findings: [Finding] = []
        for leg in self.distinctBridges(of: site) {
            if ChannelSearch.text(inAll: [leg.area]) == .nothing {
                findings.append(
                    Finding(
                        isError: true, site: site, path: "bridges.\(leg.bridge).channels",
                        message: "bridge \"\(leg.bridge)\" matches no channel: all that it includes is excluded again"))
                continue
            }
            for glob in leg.selector.exclude {
                let overlap = [ChannelSearch.Area(include: leg.selector.include), ChannelSearch.Area(include: [glob])]
                guard ChannelSearch.text(inAll: overlap) == .nothing else { continue }
                findings.append(
                    Finding(
                        isError: false, site: site, path: "bridges.\(leg.bridge).channels.exclude",
                        message: "bridge \"\(leg.bridge)\": exclude \"\(glob)\" matches nothing that is included"))
            }
        }
        return findings
    }

    private func uselessTransit(at site: Int) -> [Finding] {
        var findings: [Finding] = []
        let legs = self.distinctBridges(of: site)
        for leg in legs {
            for other in legs where leg.transit.contains(other.bridge) && other.bridge != leg.bridge {
                let reason: String? =
                    if !other.receives {
                        "\"\(other.bridge)\" receives nothing (direction out)"
                    } else if ChannelSearch.text(inAll: [leg.area, other.area]) == .nothing {
                        "the two have no channel in common"
                    } else {
                        nil
                    }
                guard let reason else { continue }
                findings.append(
                    Finding(
                        isError: false, site: site, path: "bridges.\(leg.bridge).transit",
                        message: "bridge \"\(leg.bridge)\": transit of \"\(other.bridge)\" carries nothing: \(reason)"))
            }
        }
        return findings
    }

    /// The first leg of each bridge: its legs differ in the broker only.
    private func distinctBridges(of site: Int) -> [Leg] {
        var names: Set<String> = []
        return self.sites[site].bridges.filter { names.insert($0.bridge).inserted }
    }

    /// Two bridges of one site at one upstream.
    private func meetings(at site: Int) -> [Finding] {
        var findings: [Finding] = []
        let legs = self.sites[site].bridges
        for (index, second) in legs.enumerated() {
            for first in legs[..<index] where first.bridge != second.bridge && first.medium.meets(second.medium) {
                if first.template == second.template {
                    findings += self.doubleCarriage(first, second, site)
                } else if let collision = Self.collision(first, second) {
                    findings.append(
                        Finding(
                            isError: true, site: site, path: "bridges.\(second.bridge)",
                            message:
                                "bridges \"\(first.bridge)\" and \"\(second.bridge)\" give two channels one name at broker \"\(second.broker)\": \(collision)",
                            hint: "choose names of which none is the beginning of the other"))
                }
            }
        }
        return findings
    }

    private func doubleCarriage(_ first: Leg, _ second: Leg, _ site: Int) -> [Finding] {
        guard case .example(let channel) = ChannelSearch.text(inAll: [first.area, second.area]) else { return [] }
        let verb: String? =
            switch (first.sends && second.sends, first.receives && second.receives) {
            case (true, true): "carry"
            case (true, false): "send"
            case (false, true): "receive"
            case (false, false): nil
            }
        guard let verb else { return [] }
        return [
            Finding(
                isError: false, site: site, path: "bridges.\(second.bridge).channels",
                message:
                    "bridges \"\(first.bridge)\" and \"\(second.bridge)\" both \(verb) channel \"\(channel)\" at broker \"\(second.broker)\"",
                hint: first.receives && second.receives
                    ? "messages of external publishers have no id and arrive twice; exclude the channels from one of them"
                    : "external consumers get each message twice; exclude the channels from one of them")
        ]
    }

    /// Two channels that get one upstream name.
    private static func collision(_ first: Leg, _ second: Leg) -> String? {
        guard case .example(let name) = ChannelSearch.text(inAll: first.names + second.names) else { return nil }
        let channels = [first, second].map { leg in
            let rest = name.unicodeScalars.dropFirst(leg.plain(leg.template.prefix).unicodeScalars.count)
            return String(rest.dropLast(leg.plain(leg.template.suffix).unicodeScalars.count))
        }
        guard channels[0] != channels[1] else { return nil }
        return "\"\(channels[0])\" and \"\(channels[1])\" are both \(name)"
    }

    // MARK: All sites

    private func sharedIdentities() -> [Finding] {
        var findings: [Finding] = []
        for (index, site) in self.sites.enumerated() {
            guard let first = self.sites[..<index].first(where: { $0.instance == site.instance }) else { continue }
            findings.append(
                Finding(
                    isError: false, site: index, path: "instance.id",
                    message: "instance \"\(site.instance)\" is declared in \(first.label), too",
                    hint: "instances with one id drop each other's messages; give each its own"))
        }
        return findings
    }

    private func collisionsBetweenSites() -> [Finding] {
        var findings: [Finding] = []
        for (index, site) in self.sites.enumerated() {
            for leg in site.bridges {
                for other in self.sites[..<index] {
                    for met in other.bridges where met.medium.meets(leg.medium) && met.template != leg.template {
                        guard met.sends && leg.receives || met.receives && leg.sends else { continue }
                        guard let collision = Self.collision(met, leg) else { continue }
                        findings.append(
                            Finding(
                                isError: false, site: index, path: "bridges.\(leg.bridge)",
                                message:
                                    "bridge \"\(leg.bridge)\" and bridge \"\(met.bridge)\" of \(other.label) give two channels one name: \(collision)",
                                hint: "give both the same name template, unless one channel is meant to be the other"))
                    }
                }
            }
        }
        return findings
    }
}
