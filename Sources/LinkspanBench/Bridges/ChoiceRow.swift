/// One line about what an instance does more or less, as its settings or its messages have it: the same flow with each.
struct ChoiceRow: Sendable {
    struct Choice: Sendable {
        /// As the page shows it.
        var name: String
        /// Keys of the bridge.
        var rule = ""
        /// Whether each publish is a call, whose answer waits for what the rule says.
        var asksForAnswers = false
        /// Whether what enters at the broker has an identity.
        var carriesHeader = false
    }

    var name: String
    var title: String
    var upstream: Upstream
    /// ``BridgeRow/Way/egress`` or ``BridgeRow/Way/ingress``.
    var way: BridgeRow.Way
    /// What the others are compared with comes first.
    var choices: [Choice]

    static let mostRounds = 3

    static let all = [
        ChoiceRow(
            name: "choices-out", title: "Redis Pub/Sub, out: what each message pays for a choice", upstream: .redis,
            way: .egress,
            choices: [
                Choice(name: "as it comes"), Choice(name: "no probes", rule: "probe: { every: 0s }"),
                Choice(name: "repair", rule: "repair: {}"),
                Choice(name: "as it comes, publishes are answered", asksForAnswers: true),
                Choice(name: "ack: confirmed", rule: "ack: confirmed", asksForAnswers: true),
            ]),
        ChoiceRow(
            name: "choices-kept", title: "MQTT QoS 1 with at_least_once, out: the same for buffers", upstream: .mqtt1,
            way: .egress,
            choices: [
                Choice(name: "in memory", rule: "guarantee: at_least_once"),
                Choice(name: "on disk", rule: "guarantee: at_least_once, buffer: { type: disk }"),
                Choice(
                    name: "on disk, sync: always",
                    rule: "guarantee: at_least_once, buffer: { type: disk, sync: always }"),
            ]),
        ChoiceRow(
            name: "choices-in-redis", title: "Redis Pub/Sub, in: what a message pays for its identity",
            upstream: .redis, way: .ingress,
            choices: [
                Choice(name: "raw"), Choice(name: "with identity", carriesHeader: true),
                Choice(name: "with identity, repair", rule: "repair: {}", carriesHeader: true),
            ]),
        ChoiceRow(
            name: "choices-in-mqtt", title: "MQTT QoS 0, in: what a message pays for its identity", upstream: .mqtt0,
            way: .ingress, choices: [Choice(name: "raw"), Choice(name: "with identity", carriesHeader: true)]),
    ]

    var emptyOutcome: RowOutcome {
        let names = self.choices.map(\.name)
        return RowOutcome(
            name: self.name, title: self.title, reference: names[0], ours: names[0], contenders: names,
            mustSucceed: Set(names), measures: [(.serverMicrosecondsPerMessage, nil), (.messagesPerSecond, nil)])
    }
}
