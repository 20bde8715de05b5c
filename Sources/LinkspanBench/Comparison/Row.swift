/// One line of the comparison: a scenario, who takes part, and what is looked at.
struct Row: Sendable {
    enum Scenario: Sendable {
        case traffic(@Sendable (inout LoadPlan) -> Void)
        /// So many connections until they are subscribed, as fast as they can.
        case storm(Int)
        /// So many subscribed connections that do nothing, in a fresh server: memory, and CPU for so long after a pause.
        case idle(Int, Duration)
        /// Traffic beside so many subscribers that each read so many bytes a second: the memory that they cost a fresh server.
        case overload(Int, bytesPerSecond: Int, @Sendable (inout LoadPlan) -> Void)
    }

    /// For the command line and JSON.
    var name: String
    var title: String
    var scenario: Scenario
    var reference: Contender
    var contenders: [Contender]
    /// With the goal of ours for each; nil where there is none.
    var measures: [(measure: Measure, goal: Goal?)]
    /// For rows that take long.
    var mostRounds = Int.max
    /// How often ours and the reference run in each round: more than once where the kernel costs both, from one run to the next, more or less by more
    /// than what sets them apart.
    var passes = 1

    /// The rows between clients and one server.
    static func all(isShort: Bool) -> [Row] {
        let peers = Contender.peers
        let idle = OpenFiles.bounded(isShort ? 2000 : 10_000)
        let channels = OpenFiles.bounded(isShort ? 200 : 1000, each: 11)
        return [
            Row.fanOut(window: 1, .floorEach, 1.15), Row.fanOut(window: 16, .floorBatch, 1.25),
            Row.fanOut(window: 64, .floorBatch, 1.25),
            Row(
                name: "fan-out-10k", title: "1 to \(UInt64(idle).grouped), one message at a time",
                scenario: .traffic { plan in
                    plan.subscribersPerChannel = idle
                    plan.measured *= 2
                }, reference: .floorEach, contenders: [.floorEach, .linkspan],
                measures: [(.serverMicrosecondsPerMessage, nil)], mostRounds: 3),
            Row(
                name: "channels-1", title: "1,000 channels, one publisher and one subscriber each",
                scenario: .traffic { plan in plan.channels = 1000 },
                reference: .floorEach, contenders: [.floorEach, .linkspan] + peers,
                measures: [(.serverMicrosecondsPerMessage, .atMostTimes(1.3))]),
            Row(
                name: "channels-10", title: "\(UInt64(channels).grouped) channels of 10 subscribers, all publishing",
                scenario: .traffic { plan in
                    plan.channels = channels
                    plan.subscribersPerChannel = 10
                }, reference: .floorEach, contenders: [.floorEach, .linkspan, .linkspanBridged],
                measures: [(.serverMicrosecondsPerMessage, .atMostTimes(1.3))]),
            Row(
                name: "steady", title: "1 to 1,000 at 20 messages/s: 20,000 deliveries/s",
                scenario: .traffic { plan in
                    plan.subscribersPerChannel = 1000
                    plan.pace = .perSecond(20)
                    plan.measured *= 2
                }, reference: .floorEach,
                contenders: [.floorEach, .linkspan, .linkspanBridged] + (isShort ? [] : peers),
                measures: [
                    (.latency99Microseconds, .atMostTimes(1.3)), (.serverMicrosecondsPerMessage, .atMostTimes(1.3)),
                ], passes: 2),
            Row(
                name: "ping-pong", title: "1 to 1 at 200 messages/s",
                scenario: .traffic { plan in
                    plan.pace = .perSecond(200)
                    plan.threads = 1
                }, reference: .floorEach, contenders: [.floorEach, .linkspan, .linkspanBridged] + peers,
                measures: [(.latencyMedianMicroseconds, .atMostTimes(1.2))], passes: 4),
            Row.ingest(128), Row.ingest(1024),
            Row(
                name: "acknowledged", title: "100 publishers without a subscriber, each publish acknowledged",
                scenario: .traffic { plan in
                    plan.channels = 100
                    plan.subscribersPerChannel = 0
                    plan.pace = .window(8)
                    plan.completion = .acknowledgement(every: 1)
                }, reference: .floorEach, contenders: [.floorEach, .linkspan],
                measures: [(.serverMicrosecondsPerMessage, .atMostTimes(2))]),
            Row(
                name: "storm", title: "\(isShort ? "1,000" : "3,000") connections, until each is subscribed",
                scenario: .storm(isShort ? 1000 : 3000),
                reference: .floorEach, contenders: [.floorEach, .linkspan] + peers,
                measures: [(.serverMicrosecondsPerConnection, .atMostTimes(2.5))]),
            Row(
                name: "idle-memory", title: "\(UInt64(idle).grouped) subscribed connections that do nothing",
                scenario: .idle(idle, .milliseconds(200)),
                reference: .floorEach, contenders: [.floorEach, .linkspan] + peers,
                measures: [(.bytesPerConnection, .atMost(4096))]),
            Row(
                name: "idle-cpu", title: "\(UInt64(idle).grouped) subscribed connections, a ping every 8 s",
                scenario: .idle(idle, isShort ? .seconds(2) : .seconds(8)),
                reference: .linkspan, contenders: [.linkspan],
                measures: [(.corePercent, .atMost(3))], mostRounds: 3),
            Row(
                name: "overload",
                title: "2,000 messages/s of 1 KiB to 5 subscribers, beside 30 that read a tenth of that",
                scenario: .overload(30, bytesPerSecond: 200_000) { plan in
                    plan.subscribersPerChannel = 5
                    plan.payloadSize = 1024
                    plan.pace = .perSecond(2000)
                    plan.measured = isShort ? .seconds(2) : .seconds(6)
                }, reference: .linkspan, contenders: [.linkspan],
                measures: [(.bytesPerSlowReader, .atMost(1.5 * 1_048_576))], mostRounds: 3),
            Row(
                name: "outbound", title: "1 to 100, one message at a time, with middleware asked for each subscriber",
                scenario: .traffic { plan in plan.subscribersPerChannel = 100 },
                reference: .linkspan, contenders: [.linkspan, .linkspanOutbound],
                measures: [(.serverMicrosecondsPerMessage, nil), (.messagesPerSecond, nil)], mostRounds: 3),
            Row(
                name: "two-loops", title: "1 to 1,000, one message at a time, with two event loops on two cores",
                scenario: .traffic { plan in plan.subscribersPerChannel = 1000 },
                reference: .linkspan, contenders: [.linkspan, .linkspanTwoLoops],
                measures: [(.messagesPerSecond, .atLeastTimes(1.8))]),
        ]
    }

    private static func fanOut(window: Int, _ floor: Contender, _ goal: Double) -> Row {
        Row(
            name: "fan-out-\(window)",
            title: "1 to 1,000, " + (window == 1 ? "one message at a time" : "\(window) messages under way"),
            scenario: .traffic { plan in
                plan.subscribersPerChannel = 1000
                plan.pace = .window(window)
            }, reference: floor, contenders: [floor, .linkspan, .linkspanBridged] + Contender.peers,
            measures: [(.serverMicrosecondsPerMessage, .atMostTimes(goal))], passes: window == 1 ? 3 : 2)
    }

    private static func ingest(_ size: Int) -> Row {
        Row(
            name: "ingest-\(size)", title: "100 publishers without a subscriber, \(UInt64(size).grouped) bytes",
            scenario: .traffic { plan in
                plan.channels = 100
                plan.subscribersPerChannel = 0
                plan.payloadSize = size
                plan.pace = .window(64)
                plan.completion = .acknowledgement(every: 64)
            }, reference: .floorEach, contenders: [.floorEach, .linkspan],
            measures: [(.serverMicrosecondsPerMessage, .atMostTimes(2))])
    }
}
