internal import LinkspanCore

extension BlockDefinition {
    /// One entry of `hooks`.
    static var hook: BlockDefinition {
        let defaults = HookSettings(name: "", url: "")
        return BlockDefinition(
            noun: "hook",
            [
                KeyDefinition("url", .text(.free), required: true, "Where the service is, `http:` or `https:`."),
                KeyDefinition(
                    "procedures", .list(.glob), default: "[]", "Globs of the procedures that it answers."),
                KeyDefinition(
                    "decides", .choices(HookDecision.allCases.map(\.rawValue)), default: "[]",
                    "What it decides about clients."),
                KeyDefinition(
                    "channels", .list(.glob), default: "[\"**\"]",
                    "Globs of the channels whose subscriptions and publishes it decides about."),
                KeyDefinition(
                    "unavailable", .choice(HookFallback.allCases.map(\.rawValue)),
                    default: defaults.unavailable.rawValue,
                    "What holds for a decision while the service is not there."),
                KeyDefinition("tls", .block(.hookTLS), "Certificates, for `https:`."),
                KeyDefinition("secret", .secret, "Signs requests, so that the service knows who asks."),
                KeyDefinition(
                    "tokens", .boolean, default: "\(defaults.givesTokens)", "Whether its answers may give tokens."),
                KeyDefinition(
                    "timeout", .duration(.milliseconds(10) ... .seconds(300)), default: Quantity.text(defaults.timeout),
                    "Longest wait for an answer, connecting included."),
                KeyDefinition(
                    "retries", .integer(0...10), default: "\(defaults.retries)",
                    "Further attempts where the service was not reached, or answered with 502, 503 or 504."),
                KeyDefinition(
                    "backoff", .duration(.milliseconds(1) ... .seconds(60)), default: Quantity.text(defaults.backoff),
                    "Shortest pause before a further attempt."),
                KeyDefinition(
                    "concurrency", .integer(1...10_000), default: "\(defaults.concurrency)", "Requests under way."),
                KeyDefinition(
                    "queue", .integer(0...1_000_000), default: "\(defaults.queue)",
                    "Questions that wait for a request to end; further ones fail at once."),
                KeyDefinition("breaker", .block(.breaker), "When the service is left alone."),
            ])
    }

    private static let hookTLS = BlockDefinition([
        KeyDefinition("ca", .text(.filePath), "Authorities to trust (PEM) instead of the system's.")
    ])

    private static var breaker: BlockDefinition {
        let defaults = HookSettings(name: "", url: "")
        return BlockDefinition([
            KeyDefinition(
                "failures", .integer(1...1_000_000), default: "\(defaults.breakerFailures)",
                "Failures in a row after which it is."),
            KeyDefinition(
                "pause", .duration(.milliseconds(10) ... .seconds(3600)), default: Quantity.text(defaults.breakerPause),
                "For how long."),
        ])
    }
}
