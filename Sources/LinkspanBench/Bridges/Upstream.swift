/// A broker that instances share channels through, and how it is used.
enum Upstream: String, Sendable, CaseIterable {
    case redis
    case mqtt0
    case mqtt1
    case amqp

    var words: String {
        switch self {
        case .redis: "Redis Pub/Sub"
        case .mqtt0: "MQTT QoS 0"
        case .mqtt1: "MQTT QoS 1"
        case .amqp: "AMQP"
        }
    }

    var product: String {
        switch self {
        case .redis: "redis-server"
        case .mqtt0, .mqtt1: "mosquitto"
        case .amqp: "rabbitmq-server"
        }
    }

    /// What Debian's start script of RabbitMQ, which changes to another user, calls.
    private static let rabbitScript = "/usr/lib/rabbitmq/bin/rabbitmq-server"

    var absence: String? {
        let program = self == .amqp ? Self.rabbitScript : self.product
        return ServerProcess.find(program) == nil ? "\(self.product) is not installed" : nil
    }

    /// Of RabbitMQ, as Debian's package says; the others tell their own.
    var version: String? {
        guard self == .amqp else { return nil }
        return Shell.firstLine(["dpkg-query", "-W", "-f", "RabbitMQ ${Version}", "rabbitmq-server"])
    }

    /// What the channel of a flow is called there: c0, or c1 for flows without an instance.
    func name(isApart: Bool) -> StaticString {
        switch self {
        case .redis, .mqtt0, .mqtt1: isApart ? "sc/c1" : "sc/c0"
        case .amqp: isApart ? "sc.c1" : "sc.c0"
        }
    }

    /// Entries of `brokers` and `bridges`.
    ///
    /// - Parameter rule: what the bridge has beside its broker and direction; nil for what the bare loop does, too.
    func settings(port: UInt16, direction: String, rule: String? = nil) -> String {
        let (scheme, options) =
            switch self {
            case .redis: ("redis", "")
            case .mqtt0: ("mqtt", ", mqtt: { qos: 0 }")
            case .mqtt1: ("mqtt", ", mqtt: { qos: 1 }")
            case .amqp: ("amqp", ", username: guest, password: guest")
            }
        // The bare loop asks for confirms, and so does this promise.
        let guarantee = self == .amqp && direction == "out" ? "at_least_once" : "at_most_once"
        let rest = rule ?? "guarantee: \(guarantee)"
        return """
            brokers:
              shared: { type: \(scheme), urls: [ "\(scheme)://127.0.0.1:\(port)" ]\(options) }
            bridges:
              shared: { broker: shared, direction: \(direction)\(rest.isEmpty ? "" : ", \(rest)") }

            """
    }

    func start(_ folder: ScratchFolder, cores: Cores) throws -> (processes: [ServerProcess], port: UInt16) {
        let port = try Loopback.freePort()
        let log = folder.file("\(self.product)-\(port).log")
        switch self {
        case .redis:
            let process = try ServerProcess(
                ["redis-server", "--port", "\(port)", "--bind", "127.0.0.1", "--save", "", "--dir", folder.path],
                cores: cores.broker, log: log)
            try process.awaitPort(port)
            return ([process], port)
        case .mqtt0, .mqtt1:
            let file = try folder.write(
                """
                listener \(port) 127.0.0.1
                allow_anonymous true
                set_tcp_nodelay true
                max_queued_messages 0
                max_inflight_messages 0
                user root

                """, to: "mosquitto-\(port).conf")
            let process = try ServerProcess(["mosquitto", "-c", file], cores: cores.broker, log: log)
            try process.awaitPort(port)
            return ([process], port)
        case .amqp:
            return try Self.startRabbit(folder, port: port, log: log)
        }
    }

    private static func startRabbit(
        _ folder: ScratchFolder, port: UInt16, log: String
    ) throws -> (processes: [ServerProcess], port: UInt16) {
        let mapperPort = try Loopback.freePort()
        let mapper = try ServerProcess(
            ["epmd", "-port", "\(mapperPort)", "-address", "127.0.0.1"], cores: [], log: log)
        try folder.write(
            String((0..<20).map { _ in Character(UnicodeScalar(UInt8.random(in: 65...90))) }),
            to: ".erlang.cookie", mode: 0o400)
        try folder.write("[].\n", to: "enabled_plugins")
        let file = try folder.write(
            """
            listeners.tcp.1 = 127.0.0.1:\(port)
            vm_memory_high_watermark.absolute = 2GB
            disk_free_limit.absolute = 50MB
            log.console = false

            """, to: "rabbitmq.conf")
        let process = try ServerProcess(
            [Self.rabbitScript],
            environment: [
                "HOME": folder.path, "ERL_EPMD_ADDRESS": "127.0.0.1", "ERL_EPMD_PORT": "\(mapperPort)",
                "RABBITMQ_NODENAME": "bench\(port)@localhost", "RABBITMQ_USE_LONGNAME": "false",
                "RABBITMQ_DIST_PORT": "\(try Loopback.freePort())", "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
                "RABBITMQ_NODE_PORT": "\(port)", "RABBITMQ_BASE": folder.path,
                "RABBITMQ_MNESIA_BASE": folder.file("mnesia"), "RABBITMQ_LOG_BASE": folder.file("log"),
                "RABBITMQ_PID_FILE": folder.file("pid"), "RABBITMQ_CONFIG_FILE": file,
                "RABBITMQ_ENABLED_PLUGINS_FILE": folder.file("enabled_plugins"),
                "RABBITMQ_CONF_ENV_FILE": folder.file("none.conf"),
                // Schedulers that spin would take the cores of those who are measured.
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS":
                    "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none",
                "RUNNING_UNDER_SYSTEMD": "true",
            ], cores: [], log: log)
        try process.awaitPort(port, within: .seconds(60))
        return ([mapper, process], port)
    }
}
