internal import LinkspanBridgeKit
internal import LinkspanCore

/// One rule, checked and resolved: everything about a bridge that does not change while it runs.
struct BridgePlan: Sendable {
    var index: BridgeIndex
    var rule: BridgeRule
    var kind: String
    var bridge: any Bridge
    /// For a rule that only receives: the same without the means to send what is its own, for upstreams that let it send nothing.
    var mute: (any Bridge)?
    var urls: [UpstreamURL]
    var selector: ChannelSelector
    var template: NameTemplate
    var transit: UInt64
    /// Where its disk buffer is; nil for a buffer in memory.
    var bufferPath: String?
    /// Where it notes what it told of subscriptions; nil without a folder for what must outlive the process.
    var journalPath: String?
    /// Which of the bridges that hear what this one mirrors it is.
    var occupancyTurn = OccupancyTable.Turn()

    var receives: Bool { self.rule.direction != .egress }

    /// How often each subscription is asked for again; nil where the bridge would not, or the rule wants no probes.
    var renewalPeriod: Duration? { self.bridge.renewsSubscriptions ? self.rule.probe?.deadline : nil }

    func carriesOut(_ channel: ChannelName) -> Bool {
        self.publishes && self.selector.contains(channel)
    }

    func interestTable() -> InterestTable {
        let own = self.controlNames
        switch (self.receives, self.rule.interest) {
        case (false, _): return InterestTable(always: own.map { .exact($0) })
        case (true, .always) where self.rule.group != nil:
            let filters = InterestTable.filters(for: self.selector, through: self.template)
            return InterestTable(always: filters, apart: own.map { .exact($0) })
        case (true, .always):
            let filters = InterestTable.filters(for: self.selector, through: self.template)
            return InterestTable(always: filters + own.map { .exact($0) })
        case (true, .onDemand):
            var table = InterestTable(linger: self.rule.linger)
            for name in own { table.subscribed(name) }
            return table
        }
    }
}

/// Turns settings into plans, and finds everything that is wrong with them on the way. Touches no network.
struct BridgePlanner {
    /// ``EgressRoute/transit`` has a bit for each.
    static let bridgeLimit = 64

    private let settings: LinkspanSettings
    private let kinds: [String: any Bridge.Type]
    private var problems: [ConfigurationError.Problem] = []

    private init(settings: LinkspanSettings, bridges: [any Bridge.Type]) {
        self.settings = settings
        self.kinds = Dictionary(bridges.map { ($0.kind, $0) }, uniquingKeysWith: { first, _ in first })
    }

    static func plans(
        for settings: LinkspanSettings, bridges: [any Bridge.Type]
    ) throws(ConfigurationError) -> [BridgePlan] {
        var planner = BridgePlanner(settings: settings, bridges: bridges)
        let plans = settings.bridges.enumerated().compactMap { planner.plan($1, at: $0) }
        planner.checkTogether()
        guard planner.problems.isEmpty else { throw ConfigurationError(planner.problems) }
        return plans.map { plan in
            var plan = plan
            let alike = plans.filter { $0.keepsOccupancy && $0.hears(like: plan) }
            if let place = alike.firstIndex(where: { $0.index == plan.index }) {
                plan.occupancyTurn = OccupancyTable.Turn(place: place, of: alike.count)
            }
            return plan
        }
    }

    private mutating func checkTogether() {
        if self.settings.bridges.count > Self.bridgeLimit {
            self.report(
                "bridges", "\(self.settings.bridges.count) bridges, but an instance has at most \(Self.bridgeLimit)")
        }
        var names: Set<String> = []
        for rule in self.settings.bridges where !names.insert(rule.name).inserted {
            self.report("bridges.\(rule.name)", "two bridges have this name")
        }
    }

    private mutating func plan(_ rule: BridgeRule, at index: Int) -> BridgePlan? {
        let path = "bridges.\(rule.name)"
        let selector = self.selector(of: rule, path)
        let transit = self.transit(of: rule, path)
        guard let upstream = self.settings.upstreams[rule.upstream] else {
            self.report(
                "\(path).broker", "there is no broker \"\(rule.upstream)\"",
                hint: self.settings.upstreams.isEmpty
                    ? nil : "brokers: \(self.settings.upstreams.keys.sorted().joined(separator: ", "))")
            return nil
        }
        guard let kind = self.kind(of: upstream, rule.upstream) else { return nil }
        let template = self.template(of: rule, kind, path)
        let sends = rule.direction != .ingress || rule.mirrorsOccupancy
        let speaks = rule.probe != nil || rule.repair != nil
        let unshared = template.map { template in Self.unsharedNames(rule, template) } ?? []
        let bridge = self.bridge(kind, rule, upstream, sends: sends || speaks, unshared: unshared)
        guard let selector, let template, let bridge else { return nil }
        self.checkGroup(rule, bridge, upstream, path)
        self.checkPatterns(rule, selector, bridge, upstream, path)
        return BridgePlan(
            index: BridgeIndex(index), rule: rule, kind: kind.kind, bridge: bridge,
            mute: sends || !speaks ? nil : self.bridge(kind, rule, upstream, sends: false, unshared: unshared),
            urls: upstream.urls, selector: selector, template: template,
            transit: transit & ~(1 << UInt64(index & 63)), bufferPath: self.bufferPath(of: rule, path),
            journalPath: self.settings.server.dataFolder.map {
                "\($0)/occupancy/\(Self.folderName(self.settings.instance.id.string))/\(Self.folderName(rule.name))"
            })
    }

    private mutating func kind(of upstream: UpstreamSettings, _ name: String) -> (any Bridge.Type)? {
        let path = "brokers.\(name)"
        guard let kind = self.kinds[upstream.type] else {
            self.report(
                "\(path).type", "there is no bridge of type \"\(upstream.type)\"",
                hint: "types: \(self.kinds.keys.sorted().joined(separator: ", "))")
            return nil
        }
        let strangers = upstream.urls.indices.filter { kind.schemes[upstream.urls[$0].scheme] == nil }
        let unset = kind.options.filter { upstream.options[$0.key] == nil }
        if upstream.urls.isEmpty { self.report("\(path).urls", "a broker needs at least one URL") }
        for index in strangers {
            self.report(
                "\(path).urls[\(index)]", "\(upstream.type) has no scheme \"\(upstream.urls[index].scheme)\"",
                hint: "schemes: \(kind.schemes.keys.sorted().joined(separator: ", "))")
        }
        for option in unset { self.report("\(upstream.optionsPath).\(option.key)", "has no value") }
        return upstream.urls.isEmpty || !strangers.isEmpty || !unset.isEmpty ? nil : kind
    }

    private mutating func bridge(
        _ kind: any Bridge.Type, _ rule: BridgeRule, _ upstream: UpstreamSettings, sends: Bool, unshared: Set<String>
    ) -> (any Bridge)? {
        var settings = BridgeSettings(
            name: rule.name, instance: self.settings.instance.id, urls: upstream.urls, username: upstream.username,
            password: upstream.password, tls: upstream.tls, guarantee: rule.guarantee,
            receives: rule.direction != .egress || rule.repair != nil, sends: sends,
            optionsPath: upstream.optionsPath, options: upstream.options)
        settings.consumerGroup = rule.group
        settings.unsharedNames = unshared
        do throws(ConfigurationError) {
            return try kind.init(settings: settings)
        } catch {
            // Two rules over one broker would report its faults twice.
            self.problems += error.problems.filter { !self.problems.contains($0) }
            return nil
        }
    }

    /// Control names of a rule with a group.
    private static func unsharedNames(_ rule: BridgeRule, _ template: NameTemplate) -> Set<String> {
        rule.group == nil ? [] : Set(ControlChannel.allCases.compactMap { template.encode($0.channel) })
    }

    private mutating func checkGroup(
        _ rule: BridgeRule, _ bridge: any Bridge, _ upstream: UpstreamSettings, _ path: String
    ) {
        guard let group = rule.group else { return }
        let name = "consume: one_of"
        if !Consumption.isGroupName(group) {
            self.report(
                "\(path).group", "no group can be called \"\(group)\"", hint: "1 to 64 characters of A-Z a-z 0-9 . _ -")
        }
        if rule.direction != .ingress {
            self.report(
                "\(path).consume",
                "\(name) needs direction: in, since what this instance published would come back to any one of the group",
                hint: "let another bridge, with direction: out, publish")
        }
        if rule.mirrorsOccupancy {
            self.report(
                "\(path).events", "\(name) takes messages only, and tells the broker nothing of who listens",
                hint: "let another bridge mirror subscribe and unsubscribe")
        }
        if rule.repair != nil {
            self.report(
                "\(path).repair", "\(name) leaves no instance a whole sequence, so none sees what is missing",
                hint: "leave out repair, or consume: all")
        }
        if rule.name != rule.declaration {
            self.report(
                "\(path).brokers", "\(name) takes one broker: each of several would choose another instance",
                hint: "declare a bridge for each broker")
        }
        switch bridge.groupSupport {
        case .byName: break
        case .whole where rule.interest == .always: break
        case .whole:
            self.report(
                "\(path).interest",
                "with \(name) broker \"\(rule.upstream)\" gives an instance messages of any channel, so it takes interest: always",
                hint: "leave out interest")
        case .none:
            self.report(
                "\(path).consume", "broker \"\(rule.upstream)\", as configured, gives every instance everything",
                hint: "leave out consume")
        }
    }

    private mutating func checkPatterns(
        _ rule: BridgeRule, _ selector: ChannelSelector, _ bridge: any Bridge, _ upstream: UpstreamSettings,
        _ path: String
    ) {
        guard rule.interest == .always, rule.direction != .egress, !bridge.takesPrefixes,
            let pattern = selector.include.first(where: { !$0.isLiteral })
        else { return }
        self.report(
            "\(path).interest",
            "broker \"\(rule.upstream)\" has no subscriptions by pattern, and \(pattern) is one",
            hint: "choose interest: on_demand, or list the channels by name")
    }

    private mutating func selector(of rule: BridgeRule, _ path: String) -> ChannelSelector? {
        let include = self.globs(rule.include, "\(path).channels.include")
        let exclude = self.globs(rule.exclude, "\(path).channels.exclude")
        guard let include, let exclude else { return nil }
        return ChannelSelector(include: include, exclude: exclude)
    }

    private mutating func globs(_ patterns: [String], _ path: String) -> [Glob]? {
        var globs: [Glob] = []
        for (index, pattern) in patterns.enumerated() {
            do throws(GlobError) {
                globs.append(try Glob(pattern))
            } catch {
                self.report("\(path)[\(index)]", error.description)
            }
        }
        return globs.count == patterns.count ? globs : nil
    }

    private mutating func template(of rule: BridgeRule, _ kind: any Bridge.Type, _ path: String) -> NameTemplate? {
        do throws(NameTemplateError) {
            return try NameTemplate(rule.nameTemplate ?? kind.defaultNameTemplate, rules: kind.nameRules)
        } catch {
            self.report("\(path).name", error.description, hint: "for example \(kind.defaultNameTemplate)")
            return nil
        }
    }

    private mutating func bufferPath(of rule: BridgeRule, _ path: String) -> String? {
        guard rule.buffer.type == .disk else { return nil }
        if rule.guarantee == .atMostOnce {
            self.report(
                "\(path).buffer.type",
                "a disk buffer may send a message twice after a crash, and the rule promises at_most_once",
                hint: "choose guarantee at_least_once, or type memory")
        }
        if rule.buffer.whenFull == .latestPerChannel {
            self.report(
                "\(path).buffer.when_full", "latest_per_channel needs all messages in memory",
                hint: "choose type memory, or drop_oldest")
        }
        if rule.buffer.sizeBytes < Self.smallestDiskBuffer {
            self.report("\(path).buffer.size", "a disk buffer has at least 1MiB")
        }
        guard let folder = self.settings.server.dataFolder else {
            self.report(
                "\(path).buffer.type", "a disk buffer needs a folder",
                hint: "server: { data: /var/lib/linkspan }")
            return nil
        }
        return "\(folder)/buffers/\(Self.folderName(rule.name))"
    }

    private static let smallestDiskBuffer = 1 << 20

    /// Two bridges never share a folder, whatever their names.
    static func folderName(_ name: String) -> String {
        var folder = ""
        for byte in name.utf8 {
            let character = Character(Unicode.Scalar(byte))
            if character.isASCII, character.isLetter || character.isNumber || "-_".contains(character) {
                folder.append(character)
            } else {
                folder += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }
        }
        return folder
    }

    private mutating func transit(of rule: BridgeRule, _ path: String) -> UInt64 {
        var bits: UInt64 = 0
        for (position, name) in rule.transit.enumerated() {
            if let index = self.settings.bridges.firstIndex(where: { $0.name == name }), index < Self.bridgeLimit {
                bits |= 1 << UInt64(index)
            } else {
                self.report("\(path).transit[\(position)]", "there is no bridge \"\(name)\"")
            }
        }
        return bits
    }

    private mutating func report(_ path: String, _ message: String, hint: String? = nil) {
        let problem = ConfigurationError.Problem(path: path, message: message, hint: hint)
        if !self.problems.contains(problem) { self.problems.append(problem) }
    }
}
