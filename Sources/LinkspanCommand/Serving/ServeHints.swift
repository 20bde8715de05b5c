internal import LinkspanBridgeKit
internal import LinkspanCore

/// What a person may try while `linkspan serve` runs, in the words of this very configuration.
struct ServeHints {
    let settings: LinkspanSettings
    let port: Int
    var program = CommandLine.arguments.first ?? "linkspan"
    var kinds = BridgeKinds.known

    private static let channel = "news"
    private static let data = "'{\"hello\":\"world\"}'"

    var text: String {
        let server = self.settings.server
        let isSecure = server.certificate != nil && server.usesTLS
        let url = (isSecure ? "wss://localhost" : "ws://127.0.0.1") + ":\(self.port)\(server.path)"
        let isUsual = !isSecure && self.port == 8000 && server.path == "/socketcluster/"
        let option = isUsual ? "" : " --url \(url)"
        var lines = [
            "",
            "  Clients connect to \(url)",
            "  Receive:    \(self.program) subscribe\(option) \(Self.channel)",
            "  Publish:    \(self.program) publish\(option) \(Self.channel) \(Self.data)",
        ]
        for (index, command) in self.settings.bridges.compactMap(self.command).enumerated() {
            lines.append((index == 0 ? "  or through" : "            ") + "  \(command)")
        }
        return (lines + [""]).joined(separator: "\n")
    }

    /// How a stock tool publishes into the channel through this bridge; nil where nothing would come in.
    private func command(for rule: BridgeRule) -> String? {
        guard rule.direction != .egress, let upstream = self.settings.upstreams[rule.upstream],
            let url = upstream.urls.first,
            let kind = self.kinds.first(where: { $0.kind == upstream.type }), let name = self.name(rule, kind)
        else { return nil }
        switch upstream.type {
        case "mqtt":
            return "mosquitto_pub -h \(url.host) -p \(url.port) -t '\(name)' -m \(Self.data)"
        case "redis":
            return "redis-cli -h \(url.host) -p \(url.port) publish '\(name)' \(Self.data)"
        case "amqp":
            guard case .text(let exchange)? = upstream.options["exchange"] else { return nil }
            return "amqp-publish --url=\(url) -e '\(exchange)' -r '\(name)' -b \(Self.data)"
        default:
            return nil
        }
    }

    private func name(_ rule: BridgeRule, _ kind: any Bridge.Type) -> String? {
        guard rule.include.compactMap({ try? Glob($0) }).contains(where: { $0.matches(Self.channel) }),
            let template = try? NameTemplate(rule.nameTemplate ?? kind.defaultNameTemplate, rules: kind.nameRules)
        else { return nil }
        return template.encode(ChannelName(Self.channel))
    }
}
