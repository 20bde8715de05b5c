/// RabbitMQ nodes on loopback that are one broker. Each takes the CPU time of a whole RabbitMQ to start.
public final class RabbitCluster: Sendable {
    public let nodes: [LocalServer]

    /// Returns when every node knows all of them.
    public init(count: Int = 3) async throws {
        let peers = try LocalServer.RabbitPeers(count: count)
        var nodes: [LocalServer] = []
        for index in 0..<count {
            nodes.append(try await LocalServer.rabbitMQ(ServerOptions(), node: index, of: peers))
        }
        self.nodes = nodes
        try await withThrowingTaskGroup(of: Void.self) { group in
            for node in nodes { group.addTask { try await node.restart() } }
            try await group.waitForAll()
        }
        for node in nodes {
            try await eventually(within: .seconds(120), every: .seconds(1), "the nodes of the cluster to meet") {
                try await node.evaluate("length(rabbit_nodes:all_running()).").first == "\(count)" ? true : nil
            }
        }
    }

    /// Such as `["amqp://127.0.0.1:20001", ...]`.
    public var urls: [String] { self.nodes.map(\.url) }

    /// The node on which a quorum queue of the virtual host `/` has its leader.
    public func leader(of queue: String) async throws -> LocalServer {
        for node in self.nodes where node.identifier != nil {
            let lines = try await node.control("list_queues", "name", "leader", "--no-table-headers")
            guard let line = lines.first(where: { $0.split(separator: "\t").first.map(String.init) == queue }) else {
                continue
            }
            if let leader = self.nodes.first(where: { line.contains(LocalServer.RabbitPeers.name($0.port)) }) {
                return leader
            }
        }
        throw LocalServer.Failure(description: "no node knows the leader of \(queue)")
    }
}
