internal import LinkspanCore

/// What the connections of one listener share.
final class ListenerContext: Sendable {
    let path: String
    let rules: ConnectionRules
    let upgradeRules: UpgradeRules
    /// Nil where the first message of each client shows it.
    let codec: MessageCodec?
    /// As ``FrameForm/compression`` counts, for those who agree to it.
    let compression: Int

    init(_ listener: ListenerSettings, settings: ServerSettings) {
        self.path = listener.path
        self.compression = settings.compressions.firstIndex { $0 == listener.compression }.map { $0 + 1 } ?? 0
        let settings = settings.serving(listener)
        self.rules = ConnectionRules(settings: settings)
        self.upgradeRules = UpgradeRules(settings: settings)
        self.codec = MessageCodec(listener.codec)
    }
}
