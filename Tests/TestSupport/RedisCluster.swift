/// A Redis Cluster of three primaries on loopback, one of them with a replica.
public final class RedisCluster: Sendable {
    /// Each has a third of the 16,384 slots, in this order.
    public let primaries: [LocalServer]
    /// Follows the first primary, and takes its place when it dies.
    public let replica: LocalServer

    /// A primary that is silent for so long is taken for dead by the others: short for tests, long enough for two slow cores.
    private static let nodeTimeoutMilliseconds = 3_000
    private static let slotCount = 16_384

    /// Returns when all nodes agree that the cluster is whole.
    public init() async throws {
        var nodes: [LocalServer] = []
        for _ in 0..<4 { nodes.append(try await Self.node()) }
        self.primaries = Array(nodes.prefix(3))
        self.replica = nodes[3]
        for (index, primary) in self.primaries.enumerated() {
            let slots = (Self.slotCount * index / 3, Self.slotCount * (index + 1) / 3 - 1)
            try await primary.redis("CLUSTER", "ADDSLOTSRANGE", "\(slots.0)", "\(slots.1)")
            try await primary.redis("CLUSTER", "SET-CONFIG-EPOCH", "\(index + 1)")
        }
        for node in nodes.dropFirst() {
            let bus = try await nodes[0].redis("CONFIG", "GET", "cluster-port").last ?? ""
            try await node.redis("CLUSTER", "MEET", "127.0.0.1", "\(nodes[0].port)", bus)
        }
        for node in nodes {
            _ = try await eventually("the cluster to be whole") {
                let lines = try await node.redis("CLUSTER", "INFO")
                return lines.contains("cluster_state:ok") && lines.contains("cluster_known_nodes:4") ? true : nil
            }
        }
        try await self.replica.redis("CLUSTER", "REPLICATE", try await self.primaries[0].redisNode)
        let port = self.primaries[0].port
        _ = try await eventually("the replica to follow") { [replica] in
            let lines = try await replica.redis("INFO", "replication")
            return lines.contains("master_port:\(port)") && lines.contains("master_link_status:up") ? true : nil
        }
        for primary in self.primaries {
            _ = try await eventually("all primaries to know the replica") {
                let lines = try await primary.redis("CLUSTER", "NODES")
                return lines.count { $0.contains(" slave ") } == 1 ? true : nil
            }
        }
    }

    /// Such as `["redis+cluster://127.0.0.1:20001", ...]`, of all nodes.
    public var urls: [String] {
        (self.primaries + [self.replica]).map { "redis+cluster://127.0.0.1:\($0.port)" }
    }

    /// The primary that has the slot of `key`.
    public func owner(of key: String) async throws -> LocalServer {
        let slot = try await self.slot(of: key)
        for node in self.primaries {
            // `127.0.0.1:20001@20002 myself,master - 0 0 1 connected 0-5460 [...]`
            let own = try await node.redis("CLUSTER", "NODES").first { $0.contains("myself") } ?? ""
            let ranges = own.split(separator: " ").dropFirst(8).map { $0.split(separator: "-").compactMap { Int($0) } }
            if ranges.contains(where: { !$0.isEmpty && $0[0] <= slot && slot <= $0[$0.count - 1] }) { return node }
        }
        throw LocalServer.Failure(description: "no primary has slot \(slot)")
    }

    private func slot(of key: String) async throws -> Int {
        Int(try await self.primaries[0].redis("CLUSTER", "KEYSLOT", key).first ?? "") ?? -1
    }

    /// Moves the slot of `key`, with all its keys, as an operator does by hand: first what is in it, then who owns it.
    public func moveSlot(of key: String, to target: LocalServer) async throws {
        let slot = "\(try await self.slot(of: key))"
        let source = try await self.owner(of: key)
        if source === target { return }
        let (sourceNode, targetNode) = (try await source.redisNode, try await target.redisNode)
        try await target.redis("CLUSTER", "SETSLOT", slot, "IMPORTING", sourceNode)
        try await source.redis("CLUSTER", "SETSLOT", slot, "MIGRATING", targetNode)
        while true {
            let keys = try await source.redis("CLUSTER", "GETKEYSINSLOT", slot, "100").filter { !$0.isEmpty }
            if keys.isEmpty { break }
            try await source.redis(["MIGRATE", "127.0.0.1", "\(target.port)", "", "0", "5000", "KEYS"] + keys)
        }
        for node in [target, source] + self.primaries.filter({ $0 !== target && $0 !== source }) {
            try await node.redis("CLUSTER", "SETSLOT", slot, "NODE", targetNode)
        }
    }

    private static func node() async throws -> LocalServer {
        var options = ServerOptions.appendOnly
        options.configuration += """
            cluster-enabled yes
            cluster-node-timeout \(Self.nodeTimeoutMilliseconds)
            cluster-port \(TestPorts.next())
            cluster-replica-validity-factor 0
            repl-diskless-sync-delay 0
            """
        return try await LocalServer.start(.redis, options)
    }
}

/// A Redis Sentinel that decides alone.
public final class RedisSentinel: Sendable {
    public let port = TestPorts.next()
    private let process: ChildProcess
    private let folder: TestFolder

    public init(watching primary: LocalServer, service: String) async throws {
        self.folder = try TestFolder("sentinel")
        let file = try self.folder.write(
            """
            port \(self.port)
            bind 127.0.0.1
            dir \(self.folder.path)
            sentinel monitor \(service) 127.0.0.1 \(primary.port) 1
            sentinel down-after-milliseconds \(service) 1000
            sentinel failover-timeout \(service) 5000
            """, to: "sentinel.conf")
        self.process = try ChildProcess("redis-server", [file, "--sentinel"])
        let port = self.port
        _ = try await eventually("the Sentinel on port \(port)") { TestPorts.accepts(port) ? true : nil }
    }

    /// Waits until it knows `replica`, which it can make the primary from then on.
    public func wait(for replica: LocalServer, of service: String) async throws {
        let port = self.port
        _ = try await eventually("the Sentinel to know the replica") {
            let lines = try await ChildProcess.run(
                "redis-cli", ["-p", "\(port)", "SENTINEL", "REPLICAS", service])
            return lines.contains("127.0.0.1:\(replica.port)") ? true : nil
        }
    }
}

extension LocalServer {
    /// Asks by `redis-cli` and returns the lines of the answer.
    /// - Throws: ``Failure`` when Redis answers with an error.
    @discardableResult
    public func redis(_ words: String...) async throws -> [String] { try await self.redis(words) }

    @discardableResult
    public func redis(_ words: [String]) async throws -> [String] {
        // Lines end in CR LF where Redis made them.
        let lines = try await ChildProcess.run("redis-cli", ["-e", "-p", "\(self.port)"] + words).map { line in
            line.hasSuffix("\r") ? String(line.dropLast()) : line
        }
        return lines
    }

    /// The name of the node in its cluster.
    fileprivate var redisNode: String {
        get async throws { try await self.redis("CLUSTER", "MYID").first ?? "" }
    }
}
