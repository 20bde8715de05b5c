public import LinkspanBridgeKit

extension LinkspanSettings {
    /// What the bridge of `rule` is told when it is made; nil when ``upstreams`` has no entry for it.
    public func bridgeSettings(for rule: BridgeRule) -> BridgeSettings? {
        guard let upstream = self.upstreams[rule.upstream] else { return nil }
        return BridgeSettings(
            name: rule.name, instance: self.instance.id, urls: upstream.urls, username: upstream.username,
            password: upstream.password, tls: upstream.tls, guarantee: rule.guarantee,
            receives: rule.direction != .egress, sends: rule.direction != .ingress, optionsPath: upstream.optionsPath,
            options: upstream.options)
    }
}
