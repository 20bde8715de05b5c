public import LinkspanBridgeKit
public import LinkspanCore
internal import Synchronization

/// Which way one channel takes through one bridge, and why it does not where it does not.
public struct ChannelRoute: Sendable, Hashable {
    /// One direction.
    public enum Verdict: Sendable, Hashable {
        case carried
        /// For people.
        case notCarried(String)
    }

    public var bridge: String
    /// A key of ``LinkspanSettings/upstreams``, and its kind.
    public var broker: String
    public var kind: String
    /// What the channel is called at the upstream; nil when it cannot be expressed there.
    public var name: String?
    public var egress: Verdict
    public var ingress: Verdict
    public var guarantee: Guarantee
    public var interest: Interest
    /// Who shares what arrives; nil when every instance gets everything.
    public var group: String?
    /// Bridges whose messages of this channel leave here too.
    public var carriesOnward: [String]
    public var maximumHops: Int
    /// Whether the upstream is told who listens to it.
    public var isMirrored: Bool
    /// Nil without a running instance.
    public var link: Link?

    /// How the bridge of a running instance stands.
    public struct Link: Sendable, Hashable {
        public var state: BridgeState
        public var egress: ProbeState?
        public var ingress: ProbeState?
        /// What the upstream showed of the things that the guarantee rests on.
        public var promises: [UpstreamPromise] = []
        /// Whether the upstream is asked for the channel's messages at this moment.
        public var isWanted: Bool
    }
}

extension BridgeHost {
    /// The way of `channel` through every bridge of `settings`, in their order; offline.
    ///
    /// - Throws: ``ConfigurationError`` with everything that is wrong with the bridges.
    public static func routes(
        of channel: ChannelName, in settings: LinkspanSettings, bridges: [any Bridge.Type]
    ) throws(ConfigurationError) -> [ChannelRoute] {
        let plans = try BridgePlanner.plans(for: settings, bridges: bridges)
        return plans.map { $0.route(of: channel, among: plans) }
    }

    /// The same for the running bridges, with how they stand.
    public func routes(of channel: ChannelName) -> [ChannelRoute] {
        let plans = self.runners.map(\.plan)
        return self.runners.map { runner in
            var route = runner.plan.route(of: channel, among: plans)
            let status = runner.status
            let name = runner.plan.template.encode(channel)
            route.link = ChannelRoute.Link(
                state: status.state, egress: status.probe?.egress, ingress: status.probe?.ingress,
                promises: status.promises,
                isWanted: name.map { name in runner.egress.withLock { $0.interest.covers(name) } } ?? false)
            return route
        }
    }
}

extension BridgePlan {
    fileprivate func route(of channel: ChannelName, among plans: [BridgePlan]) -> ChannelRoute {
        let obstacle = self.obstacle(to: channel)
        let obstacleOut = obstacle ?? self.obstacleOut
        let sources = plans.filter { self.transit & (1 << UInt64($0.index.value)) != 0 && $0.takesIn(channel) }
        return ChannelRoute(
            bridge: self.rule.name, broker: self.rule.upstream, kind: self.kind, name: self.template.encode(channel),
            egress: self.verdict(obstacleOut),
            ingress: self.verdict(obstacle ?? (self.receives ? nil : "direction out")),
            guarantee: self.rule.guarantee, interest: self.rule.interest, group: self.rule.group,
            carriesOnward: obstacleOut == nil ? sources.map(\.rule.name) : [],
            maximumHops: self.rule.maximumHops,
            isMirrored: self.rule.mirrorsOccupancy && !channel.isReserved && self.selector.contains(channel))
    }

    private func takesIn(_ channel: ChannelName) -> Bool { self.receives && self.selector.contains(channel) }

    private func verdict(_ obstacle: String?) -> ChannelRoute.Verdict {
        obstacle.map { .notCarried($0) } ?? .carried
    }

    private var obstacleOut: String? {
        if self.rule.direction == .ingress { return "direction in" }
        return self.rule.events.contains(.publish) ? nil : "events has no publish"
    }

    /// What keeps the channel from this bridge, either way.
    private func obstacle(to channel: ChannelName) -> String? {
        if channel.isReserved { return "reserved for the instances themselves" }
        if let glob = self.selector.exclude.first(where: { $0.matches(channel.string) }) {
            return "channels.exclude has \(glob.pattern)"
        }
        guard self.selector.include.contains(where: { $0.matches(channel.string) }) else {
            return "no glob of channels.include matches"
        }
        if self.template.encode(channel) == nil {
            return "its name would be longer than the \(self.template.rules.lengthLimit) bytes of the broker"
        }
        return nil
    }
}
