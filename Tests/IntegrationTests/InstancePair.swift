internal import TestSupport

/// Two instances that share all channels through one upstream: one whose ledgers the test can read, one as its own process.
struct InstancePair {
    let one: EmbeddedInstance
    let two: Instance

    static let bridges = """
          up:
            broker: up
            channels: { include: ["**"] }
            linger: 1s
            retry: { initial: 100ms, max: 1s }
        """

    /// A probe waits behind what was published before it, a client's answer to a ping behind what it has yet to read: both may take long on a
    /// busy machine, and neither means that somebody is gone.
    private static let patientBridges = Self.bridges + "\n    probe: { deadline: 5m }"
    private static let patientServer = """
          timing: { ping_timeout: 5m }
          limits: { outbound: 64MiB }
        """

    /// - Parameter isPatient: whether links and clients must hold however busy the machine is.
    init(over upstream: any Upstream, isPatient: Bool = false) async throws {
        let brokers = isPatient ? upstream.patientConfiguration(named: "up") : upstream.configuration
        let bridges = isPatient ? Self.patientBridges : Self.bridges
        let server = isPatient ? Self.patientServer : ""
        async let one = EmbeddedInstance("one", brokers: brokers, bridges: bridges, server: server)
        async let two = Instance("two", brokers: brokers, bridges: bridges, server: server)
        (self.one, self.two) = (try await one, try await two)
    }

    /// Publishes on one side until the other receives it: bridges come and go on their own time.
    func flow(_ checker: Checker, from publisher: String, to subscriber: String, _ channel: String) async throws {
        let mark = checker.mark
        let label = "\(publisher) \(mark)"
        var attempt = 0
        _ = try await eventually(
            within: .seconds(60), every: .milliseconds(100), "flow from \(publisher) to \(subscriber)"
        ) {
            attempt += 1
            try await checker.publish(
                publisher, channel, ["flow": .string(label), "attempt": .number(Double(attempt))])
            return checker.messages(subscriber, channel).contains { $0["flow"].string == label } ? true : nil
        }
    }

    /// Publishes on both sides until something has happened.
    func publish(_ checker: Checker, _ what: String, until hasHappened: () async throws -> Bool) async throws {
        _ = try await eventually(what) {
            try await self.publish(checker, during: .milliseconds(500))
            return try await hasHappened() ? true : nil
        }
    }

    /// Publishes on both sides for as long as something lasts that this test does to the broker.
    func publish(_ checker: Checker, during time: Duration) async throws {
        let clock = ContinuousClock()
        let end = clock.now + time
        var number = 0
        while clock.now < end {
            for client in ["a", "b"] {
                number += 1
                try await checker.publish(client, "news", ["during": .string("\(client) \(checker.mark) \(number)")])
            }
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    func stop() async throws {
        try await self.one.stop()
        try await self.two.stop()
    }
}
