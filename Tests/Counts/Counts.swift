internal import CCounts
internal import Dispatch
internal import Glibc
internal import LinkspanBridgeKit
internal import LinkspanCore
internal import LinkspanServer
internal import LinkspanWire
internal import Logging
internal import NIOCore

/// Counts what a server does for its deliveries: allocations, system calls, locks. One `name value` per line.
///
/// A process of its own, because everything in it is counted but the threads of the clients. The values do not depend on how fast or busy the
/// machine is: the next messages leave when all of the last ones have arrived. With the argument `few` it does less of it, for callgrind, which
/// counts instructions between two calls of `counts_now`, and is fifty times slower.
@main struct Counts {
    private static let isShort = CommandLine.arguments.contains("few")
    private static let publishes = isShort ? 10 : 100
    private static let warmUp = isShort ? 4 : 20
    private static let audiences = isShort ? (few: 10, many: 110) : (few: 30, many: 300)

    // Not asynchronous: the main thread of an asynchronous program ends in a wait that callgrind cannot follow.
    static func main() {
        guard counts_are_taken() != 0 else { return print("counted 0") }
        print("counted 1")
        let ended = DispatchSemaphore(value: 0)
        Task.detached {
            do {
                try await self.serve()
            } catch {
                print(error)
                exit(1)
            }
            ended.signal()
        }
        ended.wait()
    }

    private static func serve() async throws {
        var settings = ServerSettings()
        settings.host = "127.0.0.1"
        settings.port = 0
        settings.eventLoops = 1
        settings.timing.pingTimeoutDisabled = true
        var logger = Logger(label: "counts")
        logger.logLevel = .critical
        let instance = InstanceID("counts")!
        settings.usesIOUring = false
        try await self.serveFanOut(settings, instance, logger, name: "window")
        try await self.serveBridge(settings, instance, logger)
        settings.usesIOUring = true
        try await self.serveFanOut(settings, instance, logger, name: "ring")
    }

    private static func serveFanOut(
        _ settings: ServerSettings, _ instance: InstanceID, _ logger: Logger, name: String
    ) async throws {
        let server = LinkspanServer(settings: settings, instance: instance, logger: logger)
        let running = Task { try await server.run() }
        guard let port = try await server.address.port else { return }
        try self.measure(port: port, name: name)
        running.cancel()
        try await running.value
        print("\(name).refusals \(server.counters.ringRefusals)")
    }

    /// The same server with a bridge.
    private static func serveBridge(_ server: ServerSettings, _ instance: InstanceID, _ logger: Logger) async throws {
        var rule = BridgeRule(name: "counting", upstream: "nothing")
        // Probes come by the clock.
        rule.probe = nil
        let upstream = UpstreamSettings(
            type: CountingBridge.kind, urls: [UpstreamURL(scheme: "counting", host: "nothing", port: 1)])
        let settings = LinkspanSettings(
            instance: InstanceSettings(id: instance), server: server, upstreams: ["nothing": upstream],
            bridges: [rule])
        let host = try BridgeHost(settings: settings, bridges: [CountingBridge.self], logger: logger)
        let server = LinkspanServer(settings: server, instance: instance, bridgePlane: host, logger: logger)
        host.attach(server.broker)
        let running = [Task { try await server.run() }, Task { try await host.run() }]
        guard let port = try await server.address.port else { return }
        CountingUpstream.shared.awaitConnection()
        try self.measureBridge(port: port)
        for task in running { task.cancel() }
        for task in running { try await task.value }
    }

    /// Windows of a bridge: what one message more in a turn costs is the difference.
    private static let bridgeWindows = (few: 16, many: 64)

    private static func measureBridge(port: Int) throws {
        counts_leave_out_this_thread(1)
        defer { counts_leave_out_this_thread(0) }
        let publisher = try BlockingClient(port: port)
        let subscriber = try BlockingClient(port: port)
        try subscriber.subscribe(CountingConversation.channel)
        let (few, many) = self.bridgeWindows
        let messages = self.publishes * (many - few)
        let out = try [few, many].map { window in
            let batch = self.publishes(of: CountingConversation.data, into: "out", window)
            return try self.count {
                try publisher.send(batch)
                CountingUpstream.shared.awaitConfirmed(window)
            }
        }
        self.report("egress", "message", out[0], out[1], deliveries: messages)
        let frame = PublishEncoder(channel: CountingConversation.channel)
            .frameLength(dataLength: CountingConversation.data.utf8.count)
        let ingress = try [few, many].map { window in
            try self.count {
                CountingUpstream.shared.bring(window)
                try subscriber.read(frame * window)
            }
        }
        self.report("ingress", "message", ingress[0], ingress[1], deliveries: messages)
    }

    private static func publishes(of data: String, into channel: String, _ window: Int) -> [UInt8] {
        let publish = BlockingClient.frame(
            ##"{"event":"#publish","data":{"channel":"\##(channel)","data":\##(data)}}"##)
        return [UInt8]((0..<window).map { _ in publish }.joined())
    }

    private static func measure(port: Int, name: String) throws {
        counts_leave_out_this_thread(1)
        defer { counts_leave_out_this_thread(0) }
        let publisher = try BlockingClient(port: port)
        let (few, many) = self.audiences
        for window in [1, 16] {
            var results: [counts] = []
            for count in [few, many] {
                let channel = "fan-out/\(window)/\(count)"
                let subscribers = try (0..<count).map { _ in try BlockingClient(port: port) }
                for subscriber in subscribers { try subscriber.subscribe(channel) }
                results.append(try self.count(publisher, subscribers, channel, window: window))
            }
            self.report(
                "\(name)-\(window)", "delivery", results[0], results[1],
                deliveries: self.publishes * window * (many - few))
        }
    }

    private static func count(
        _ publisher: BlockingClient, _ subscribers: [BlockingClient], _ channel: String, window: Int
    ) throws -> counts {
        let data = CountingConversation.data
        let batch = self.publishes(of: data, into: channel, window)
        let length = PublishEncoder(channel: channel).frameLength(dataLength: data.utf8.count) * window
        return try self.count {
            try publisher.send(batch)
            for subscriber in subscribers { try subscriber.read(length) }
        }
    }

    private static func count(_ turn: () throws -> Void) throws -> counts {
        var before = counts()
        for round in 0..<(self.warmUp + self.publishes) {
            if round == self.warmUp { before = counts_now() }
            try turn()
        }
        let after = counts_now()
        return counts(
            allocations: after.allocations - before.allocations, writes: after.writes - before.writes,
            reads: after.reads - before.reads, locks: after.locks - before.locks)
    }

    /// For each turn what the smaller of two loads took, and for each delivery or message what the larger one took more.
    private static func report(_ name: String, _ unit: String, _ few: counts, _ many: counts, deliveries: Int) {
        func line(_ what: String, _ path: KeyPath<counts, UInt>) {
            let more = Double(Int(many[keyPath: path]) - Int(few[keyPath: path]))
            print("\(name).\(what).turn \(Double(few[keyPath: path]) / Double(self.publishes))")
            print("\(name).\(what).\(unit) \(more / Double(deliveries))")
        }
        line("allocations", \.allocations)
        line("writes", \.writes)
        line("reads", \.reads)
        line("locks", \.locks)
    }
}
