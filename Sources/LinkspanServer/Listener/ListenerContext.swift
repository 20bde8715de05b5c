internal import LinkspanCore

/// What the connections of one listener share.
final class ListenerContext: Sendable {
    let rules: ConnectionRules
    let upgradeRules: UpgradeRules
    /// Nil where the first message of each client shows it.
    let codec: MessageCodec?

    init(_ listener: ListenerSettings, settings: ServerSettings) {
        let settings = settings.serving(listener)
        self.rules = ConnectionRules(settings: settings)
        self.upgradeRules = UpgradeRules(settings: settings)
        self.codec = MessageCodec(listener.codec)
    }
}
