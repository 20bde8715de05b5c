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
        let server = LinkspanServer(settings: settings, instance: InstanceID("counts")!, logger: logger)
        let running = Task { try await server.run() }
        guard let port = try await server.address.port else { return }
        try self.measure(port: port)
        running.cancel()
        try await running.value
    }

    private static func measure(port: Int) throws {
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
            self.report(window, results[0], results[1], deliveries: self.publishes * window * (many - few))
        }
    }

    private static func count(
        _ publisher: BlockingClient, _ subscribers: [BlockingClient], _ channel: String, window: Int
    ) throws -> counts {
        let data = #"{"text":"\#(String(repeating: "x", count: 100))"}"#
        let publish = BlockingClient.frame(
            ##"{"event":"#publish","data":{"channel":"\##(channel)","data":\##(data)}}"##)
        let batch = [UInt8]((0..<window).map { _ in publish }.joined())
        let length = PublishEncoder(channel: channel).frameLength(dataLength: data.utf8.count) * window
        var before = counts()
        for round in 0..<(self.warmUp + self.publishes) {
            if round == self.warmUp { before = counts_now() }
            try publisher.send(batch)
            for subscriber in subscribers { try subscriber.read(length) }
        }
        let after = counts_now()
        return counts(
            allocations: after.allocations - before.allocations, writes: after.writes - before.writes,
            reads: after.reads - before.reads, locks: after.locks - before.locks)
    }

    /// For each turn what a fan-out to the smaller audience took, and for each delivery what the larger one took more.
    private static func report(_ window: Int, _ few: counts, _ many: counts, deliveries: Int) {
        func line(_ name: String, _ path: KeyPath<counts, UInt>) {
            let more = Double(Int(many[keyPath: path]) - Int(few[keyPath: path]))
            print("window-\(window).\(name).turn \(Double(few[keyPath: path]) / Double(self.publishes))")
            print("window-\(window).\(name).delivery \(more / Double(deliveries))")
        }
        line("allocations", \.allocations)
        line("writes", \.writes)
        line("reads", \.reads)
        line("locks", \.locks)
    }
}
