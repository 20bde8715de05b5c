internal import Foundation
internal import Synchronization

extension LocalServer {
    /// Debian's `/usr/sbin/rabbitmq-server` changes to another user; this is what it calls.
    static let rabbitScript = "/usr/lib/rabbitmq/bin/rabbitmq-server"
    private static let rabbitControl = "/usr/lib/rabbitmq/bin/rabbitmqctl"

    /// What the nodes of one cluster share.
    struct RabbitPeers: Sendable {
        /// An epmd of our own, in the foreground, so that it ends with us instead of staying as a daemon.
        let mapper: ChildProcess
        let mapperPort: Int
        let cookie: String
        let ports: [Int]

        init(count: Int) throws {
            self.mapperPort = TestPorts.next()
            self.mapper = try ChildProcess("epmd", ["-port", "\(self.mapperPort)", "-address", "127.0.0.1"])
            self.cookie = (0..<20).map { _ in String(UnicodeScalar(UInt8.random(in: 65...90))) }.joined()
            self.ports = (0..<count).map { _ in TestPorts.next() }
        }

        static func name(_ port: Int) -> String { "linkspan\(port)@localhost" }

        /// Lines of the configuration by which nodes find each other at their first start.
        var configuration: [String] {
            guard self.ports.count > 1 else { return [] }
            let backend = "cluster_formation.peer_discovery_backend = classic_config"
            return [backend]
                + self.ports.enumerated().map { index, port in
                    "cluster_formation.classic_config.nodes.\(index + 1) = \(Self.name(port))"
                }
        }
    }

    static func rabbitMQ(_ options: ServerOptions) async throws -> LocalServer {
        try await self.rabbitMQ(options, node: 0, of: try RabbitPeers(count: 1))
    }

    static func rabbitMQ(_ options: ServerOptions, node: Int, of peers: RabbitPeers) async throws -> LocalServer {
        let folder = try TestFolder("rabbitmq")
        let port = peers.ports[node]
        let tlsPort = options.tls == nil ? 0 : TestPorts.next()
        try folder.write(peers.cookie, to: "home/.erlang.cookie", mode: 0o400)
        try folder.write("[\(options.plugins.joined(separator: ","))].\n", to: "enabled_plugins")
        for name in ["mnesia", "log"] {
            try FileManager.default.createDirectory(atPath: folder.file(name), withIntermediateDirectories: true)
        }
        var lines = [
            "listeners.tcp.1 = 127.0.0.1:\(port)", "vm_memory_high_watermark.absolute = 2GB",
            "disk_free_limit.absolute = 50MB", "log.console = false", "log.file.level = info",
        ]
        lines += peers.configuration
        if let tls = options.tls {
            lines += [
                "listeners.ssl.1 = 127.0.0.1:\(tlsPort)", "ssl_options.cacertfile = \(tls.authority)",
                "ssl_options.certfile = \(tls.0.certificate)", "ssl_options.keyfile = \(tls.0.key)",
                "ssl_options.verify = verify_peer",
                "ssl_options.fail_if_no_peer_cert = \(options.requiresClientCertificate)",
            ]
        }
        if !options.configuration.isEmpty { lines.append(options.configuration) }
        let file = try folder.write(lines.joined(separator: "\n") + "\n", to: "rabbitmq.conf")

        let environment: [String: String?] = [
            "HOME": folder.file("home"), "ERL_EPMD_ADDRESS": "127.0.0.1", "ERL_EPMD_PORT": "\(peers.mapperPort)",
            "RABBITMQ_NODENAME": RabbitPeers.name(port), "RABBITMQ_USE_LONGNAME": "false",
            "RABBITMQ_DIST_PORT": "\(TestPorts.next())", "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": "\(port)", "RABBITMQ_BASE": folder.path,
            "RABBITMQ_MNESIA_BASE": folder.file("mnesia"), "RABBITMQ_LOG_BASE": folder.file("log"),
            "RABBITMQ_PID_FILE": folder.file("pid"), "RABBITMQ_CONFIG_FILE": file,
            "RABBITMQ_ENABLED_PLUGINS_FILE": folder.file("enabled_plugins"),
            "RABBITMQ_CONF_ENV_FILE": folder.file("none.conf"),
            // Every rabbitmqctl listens while it runs, and the eleven ports of the default are for all on the machine.
            "RABBITMQ_CTL_DIST_PORT_MIN": "12000", "RABBITMQ_CTL_DIST_PORT_MAX": "12999",
            // Keeps Erlang's schedulers from spinning on the CPUs that the tests need.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS":
                "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none",
            // Makes the script become the Erlang VM, so that signals reach the broker itself.
            "RUNNING_UNDER_SYSTEMD": "true", "NOTIFY_SOCKET": nil,
        ]
        let server = LocalServer(
            kind: .rabbitMQ, port: port, tlsPort: tlsPort, folder: folder, command: [Self.rabbitScript],
            environment: environment, helper: peers.mapper)
        if !options.users.isEmpty {
            try await server.restart()
            for (user, password) in options.users {
                try await server.control("add_user", user, password)
                try await server.control("set_permissions", user, ".*", ".*", ".*")
            }
        }
        return server
    }

    /// Each is an Erlang VM that starts, so more of them at a time than this end later, not sooner.
    private static let controlTurns = Turns(atATime: 3)

    /// Runs `rabbitmqctl` for it and returns its lines. Takes 0.6 s, and a hundred times that where ten others want the same two cores.
    @discardableResult
    public func control(_ arguments: String...) async throws -> [String] {
        try await Self.controlTurns.take {
            try await ChildProcess.run(
                Self.rabbitControl, ["-q"] + arguments, environment: self.environment, within: .seconds(180))
        }
    }

    /// Evaluates an Erlang expression in the broker.
    @discardableResult
    public func evaluate(_ expression: String) async throws -> [String] {
        try await self.control("eval", expression)
    }

    /// Takes one binding to the exchange `linkspan` from a queue, as an operator does by hand.
    public func deleteBinding(_ key: String, of queue: String, virtualHost: String) async throws {
        try await self.evaluate(
            """
            ok = rabbit_binding:remove({binding, \
            rabbit_misc:r(<<"\(virtualHost)">>, exchange, <<"linkspan">>), <<"\(key)">>, \
            rabbit_misc:r(<<"\(virtualHost)">>, queue, <<"\(queue)">>), []}, fun(_, _) -> ok end, <<"test">>).
            """)
    }

    /// Makes a virtual host of its own, with all rights for `guest`, and returns its name.
    public func makeVirtualHost() async throws -> String {
        let name = "test-\(TestRun.nextNumber())-\(UInt32.random(in: 0 ... .max))"
        try await self.evaluate(
            """
            rabbit_vhost:add(<<"\(name)">>, <<"test">>), \
            rabbit_auth_backend_internal:set_permissions(\
            <<"guest">>, <<"\(name)">>, <<".*">>, <<".*">>, <<".*">>, <<"test">>).
            """)
        return name
    }

    /// Such as `amqp://127.0.0.1:25672/test-1`.
    public func url(virtualHost: String) -> String { "\(self.url)/\(virtualHost)" }
}

/// The RabbitMQ servers of one test process: they take ten seconds and more to start, so suites share them.
public enum SharedRabbitMQ {
    /// Starts on first use. For tests that leave the server itself alone; a virtual host of their own keeps them apart.
    public static func withVirtualHost<Result: Sendable>(
        _ body: (_ server: LocalServer, _ virtualHost: String) async throws -> Result
    ) async throws -> Result {
        let server = try await self.calm.server()
        return try await body(server, try await server.makeVirtualHost())
    }

    /// Another server, for tests that kill, freeze, fill or reconfigure it: one such test at a time, and it runs again afterwards.
    public static func withFaults<Result: Sendable>(
        _ body: (_ server: LocalServer, _ virtualHost: String) async throws -> Result
    ) async throws -> Result {
        try await self.turns.take {
            do {
                let server = try await self.faulty.server()
                let result = try await body(server, try await server.makeVirtualHost())
                try await self.faulty.revive()
                return result
            } catch {
                try? await self.faulty.revive()
                throw error
            }
        }
    }

    private static let calm = Starter()
    private static let faulty = Starter()
    private static let turns = Turns(atATime: 1)

    private actor Starter {
        private var starting: Task<LocalServer, any Error>?

        func server() async throws -> LocalServer {
            let starting = self.starting ?? Task { try await LocalServer.start(.rabbitMQ) }
            self.starting = starting
            return try await starting.value
        }

        func revive() async throws {
            guard let server = try await self.starting?.value else { return }
            server.resume()
            if !TestPorts.accepts(server.port) { try await server.restart() }
            // A test that failed on its way may have left the server short of memory, and every later one with it.
            try await server.control("set_vm_memory_high_watermark", "absolute", "2GB")
        }
    }
}
