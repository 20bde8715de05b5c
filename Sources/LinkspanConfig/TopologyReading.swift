internal import LinkspanBridgeKit
internal import LinkspanCore

/// Checks that concern more than one file, or more than one bridge.
public enum TopologyReading {
    /// What is wrong, or surely not meant, where `configurations` share brokers; what concerns one of them alone is told by its own
    /// ``ConfigurationLoader/load(file:)``.
    /// - Returns: for each configuration, in their order, what is to be told of its file.
    public static func findings(in configurations: [Configuration]) -> [[Diagnostic]] {
        var diagnostics = [[Diagnostic]](repeating: [], count: configurations.count)
        let alone = Set(
            configurations.indices.flatMap { Topology([configurations[$0].site]).findings().map(\.message) })
        for finding in Topology(configurations.map(\.site)).findings() where !alone.contains(finding.message) {
            diagnostics[finding.site].append(Self.diagnostic(finding, configurations[finding.site].locations))
        }
        return diagnostics
    }

    static func diagnostic(_ finding: Topology.Finding, _ locations: [String: SourceLocation]) -> Diagnostic {
        Diagnostic(
            finding.isError ? .error : .warning, at: locations.nearest(to: finding.path), finding.message,
            hint: finding.hint)
    }

    /// Settings that were taken already; a rule that could not be understood has been reported, and is left out.
    static func site(
        _ settings: LinkspanSettings, label: String, kinds: [any Bridge.Type]
    ) -> Topology.Site {
        let kinds = Dictionary(kinds.map { ($0.kind, $0) }, uniquingKeysWith: { first, _ in first })
        let declarations = Dictionary(
            settings.bridges.map { ($0.name, $0.declaration) }, uniquingKeysWith: { first, _ in first })
        let legs = settings.bridges.compactMap { rule -> Topology.Leg? in
            guard let upstream = settings.upstreams[rule.upstream], let kind = kinds[upstream.type],
                let template = try? NameTemplate(rule.nameTemplate ?? kind.defaultNameTemplate, rules: kind.nameRules),
                let include = try? rule.include.map(Glob.init), let exclude = try? rule.exclude.map(Glob.init)
            else { return nil }
            let namespace = kind.namespaceOptions.map { upstream.options[$0].map { "\($0)" } ?? "" }
            return Topology.Leg(
                bridge: rule.declaration, broker: rule.upstream,
                medium: Topology.Medium(kind: kind.kind, namespace: namespace, urls: upstream.urls),
                selector: ChannelSelector(include: include, exclude: exclude), template: template,
                sends: rule.direction != .ingress && rule.events.contains(.publish),
                receives: rule.direction != .egress, group: rule.group,
                transit: Set(rule.transit.compactMap { declarations[$0] }))
        }
        return Topology.Site(label: label, instance: settings.instance.id, bridges: legs)
    }
}

extension [String: SourceLocation] {
    /// The place of the longest part of a key path that the file has. A link of a bridge with several brokers stands where the bridge does.
    func nearest(to path: String) -> SourceLocation {
        var keys = path.split(separator: ".").map { $0.prefix { $0 != "@" } }
        while !keys.isEmpty {
            if let location = self[keys.joined(separator: ".")] { return location }
            keys.removeLast()
        }
        return .document
    }
}
