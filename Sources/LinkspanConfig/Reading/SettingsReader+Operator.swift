internal import LinkspanBridgeKit
internal import LinkspanCore

/// `server.operator`.
extension SettingsReader {
    /// Shorter keys may be guessed by whoever can ask often.
    private static let keyBytes = 16

    /// Nil when nothing is said about it, or no key is given; that is reported.
    mutating func operatorPort(from server: ConfigBlock) -> OperatorSettings? {
        let block = server.block("operator")
        guard server.written.contains("operator") || ["host", "port", "key"].contains(where: block.has) else {
            return nil
        }
        guard let key = block.text("key"), !key.isEmpty else {
            // A key that was written wrong is told already.
            if !block.written.contains("key") || block.text("key") != nil {
                self.report(
                    block.location(of: "key"), "server.operator: a key is needed, also on loopback",
                    hint: "make one with openssl rand -hex 32, and give it as LINKSPAN_SERVER_OPERATOR_KEY or a file")
            }
            return nil
        }
        if key.utf8.count < Self.keyBytes {
            self.report(
                block.location(of: "key"),
                "server.operator: key has less than \(Self.keyBytes) bytes and may be guessed",
                hint: "make one with: openssl rand -hex 32", severity: .warning)
        }
        var settings = OperatorSettings(key: Secret(key))
        settings.host = block.text("host") ?? settings.host
        settings.port = block.integer("port") ?? settings.port
        return settings
    }
}
