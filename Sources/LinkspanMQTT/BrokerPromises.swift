internal import LinkspanBridgeKit

/// What `at_least_once` rests on at an MQTT broker, as far as the broker shows it.
struct BrokerPromises {
    private let plan: ConversationPlan
    private var isGranted = false
    private var isDenied = false

    init(plan: ConversationPlan) {
        self.plan = plan
    }

    /// What the acceptance shows; nothing for `at_most_once`.
    ///
    /// - Parameter isReturn: whether the broker had accepted us before, so that it should have a session of ours.
    func atConnect(_ answer: ConnectionAnswer, isReturn: Bool) -> [UpstreamPromise] {
        guard self.plan.keepsSession else { return [] }
        var promises = [self.maximum(answer), Self.persistence]
        if self.plan.receives { promises += [self.session(answer, isReturn: isReturn), Self.unasked] }
        return promises
    }

    /// MQTT 5, 3.2.2.3.4: without the property the broker takes QoS 2.
    private func maximum(_ answer: ConnectionAnswer) -> UpstreamPromise {
        let name = Self.maximum
        guard self.plan.version == .v5 else {
            return UpstreamPromise(name, .assumed, "MQTT 3.1.1 does not tell up to which QoS a broker takes messages")
        }
        let maximum = answer.maximumQoS.map(Int32.init) ?? 2
        return maximum >= self.plan.qos
            ? UpstreamPromise(name, .kept, "the broker takes QoS \(maximum), and QoS \(self.plan.qos) is used")
            : UpstreamPromise(
                name, .broken, "the broker takes QoS \(maximum) at most, and QoS \(self.plan.qos) is needed")
    }

    /// MQTT 5, 3.2.2.3.2: without the property the broker keeps the session as long as it was asked to.
    private func session(_ answer: ConnectionAnswer, isReturn: Bool) -> UpstreamPromise {
        let name = "session"
        if let expiry = answer.sessionExpiry, expiry < Int(self.plan.sessionExpiry) {
            return UpstreamPromise(
                name, .broken,
                "the broker keeps it for \(expiry) s, and session_expiry is \(self.plan.sessionExpiry) s")
        }
        if answer.isSessionPresent { return UpstreamPromise(name, .kept, "the broker had kept it since the last time") }
        if isReturn {
            return UpstreamPromise(
                name, .assumed, "the broker had forgotten the last one; the next connection shows more")
        }
        return UpstreamPromise(
            name, .assumed,
            self.plan.version == .v5
                ? "the broker agreed to keep it for \(self.plan.sessionExpiry) s; the next connection shows it"
                : "MQTT 3.1.1 does not tell for how long it is kept; the next connection shows it")
    }

    private static let persistence = UpstreamPromise(
        "persistence", .assumed, "MQTT has no way to ask whether the broker writes what it acknowledges to a disk")

    static let maximum = "maximum_qos"
    private static let grant = "granted_qos"
    private static let unasked = UpstreamPromise(Self.grant, .assumed, "no subscription was answered yet")

    /// What the answer to a subscription shows; nil when it is nothing new.
    ///
    /// - Parameter granted: QoS, from MQTT 5, 3.9.3 and MQTT 3.1.1, 3.9.3; refusals are not for here.
    mutating func granted(_ granted: Int32, to topic: String) -> UpstreamPromise? {
        guard self.plan.keepsSession, !self.isDenied else { return nil }
        if granted < min(self.plan.qos, 1) {
            self.isDenied = true
            return UpstreamPromise(
                Self.grant, .broken,
                "the broker granted QoS \(granted) for \(topic): what comes while the bridge is away is lost")
        }
        defer { self.isGranted = true }
        return self.isGranted
            ? nil : UpstreamPromise(Self.grant, .kept, "every subscription so far was granted QoS 1 at least")
    }
}
