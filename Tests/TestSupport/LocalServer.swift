internal import Foundation
internal import Glibc
internal import Synchronization

/// The outside brokers that tests run for real.
public enum ServerKind: String, Sendable, CaseIterable {
    case mosquitto
    case redis = "redis-server"
    case rabbitMQ = "rabbitmq-server"

    public var isInstalled: Bool {
        switch self {
        case .mosquitto, .redis: ChildProcess.find(self.rawValue) != nil
        case .rabbitMQ: ChildProcess.find(LocalServer.rabbitScript) != nil && ChildProcess.find("erl") != nil
        }
    }

    /// For `.enabled(if:)` of a suite. Where `CI` is `true` it always is, so that a missing server fails; elsewhere it says what is skipped.
    public var canBeTested: Bool {
        if self.isInstalled || ProcessInfo.processInfo.environment["CI"] == "true" { return true }
        FileHandle.standardError.write(
            Data("SKIPPED: \(self.rawValue) is not installed; `make test` installs it\n".utf8))
        return false
    }
}

/// Who may log in, and what else a ``LocalServer`` is started with.
public struct ServerOptions: Sendable {
    /// User names and passwords. Empty admits everyone (RabbitMQ: `guest`, `guest`).
    public var users: [String: String] = [:]
    /// mosquitto's ACL file, or the lines of Redis's one (then `users` is not used for Redis).
    public var accessList: String?
    /// Adds a TLS listener with this certificate and its authority.
    public var tls: (TestCertificates.Pair, authority: String)?
    /// Whether the TLS listener asks clients for a certificate.
    public var requiresClientCertificate = false
    /// Further lines of the server's own configuration file.
    public var configuration = ""
    /// mosquitto: lines about its listener, such as `max_qos 0`.
    public var listener = ""
    /// mosquitto and Redis: where they write; nil for the server's own folder.
    public var dataFolder: String?
    /// RabbitMQ plugins.
    public var plugins: [String] = []

    public init() {}

    /// Redis: a server that a bridge with `at_least_once` uses, since it remembers what it answered. It takes a moment to load that at a start.
    public static var appendOnly: ServerOptions {
        var options = ServerOptions()
        options.configuration = "appendonly yes\nappendfsync no\n"
        return options
    }
}

/// A real broker on a free loopback port, in a temporary folder of its own, that dies with the test process.
public final class LocalServer: Sendable {
    public struct Failure: Error, CustomStringConvertible {
        public var description: String
    }

    public let kind: ServerKind
    /// Without TLS, on 127.0.0.1. Stays the same over ``restart()``.
    public let port: Int
    /// With TLS, for `localhost`; 0 without TLS in the options.
    public let tlsPort: Int
    public let folder: TestFolder

    let environment: [String: String?]
    private let command: [String]
    private let process = Mutex<ChildProcess?>(nil)
    /// Servers that must run beside it and end with it.
    private let helper: ChildProcess?

    init(
        kind: ServerKind, port: Int, tlsPort: Int, folder: TestFolder, command: [String],
        environment: [String: String?] = [:], helper: ChildProcess? = nil
    ) {
        self.kind = kind
        self.port = port
        self.tlsPort = tlsPort
        self.folder = folder
        self.command = command
        self.environment = environment
        self.helper = helper
    }

    /// Starts one and returns when it accepts connections.
    /// - Throws: ``Failure`` with the server's own last words.
    public static func start(_ kind: ServerKind, _ options: ServerOptions = ServerOptions()) async throws -> LocalServer
    {
        guard kind.isInstalled else {
            throw Failure(description: "\(kind.rawValue) is not installed; run Scripts/install.sh")
        }
        let server =
            switch kind {
            case .mosquitto: try await Self.mosquitto(options)
            case .redis: try Self.redis(options)
            case .rabbitMQ: try await Self.rabbitMQ(options)
            }
        if server.identifier == nil { try await server.restart() }
        return server
    }

    public var identifier: Int32? { self.process.withLock { $0?.identifier } }

    /// Such as `mqtt://127.0.0.1:21883`.
    public var url: String { "\(self.scheme)://127.0.0.1:\(self.port)" }

    /// Such as `mqtts://localhost:21884`.
    public var tlsURL: String { "\(self.scheme)s://localhost:\(self.tlsPort)" }

    private var scheme: String {
        switch self.kind {
        case .mosquitto: "mqtt"
        case .redis: "redis"
        case .rabbitMQ: "amqp"
        }
    }

    /// Ends it without warning (SIGKILL) and returns when it is gone.
    public func kill() async throws {
        guard let process = self.process.withLock({ $0 }) else { return }
        process.signal(SIGKILL)
        _ = try await process.exit()
        self.process.withLock { $0 = nil }
    }

    /// Freezes it (SIGSTOP): connections stay open and nothing answers.
    public func pause() { self.process.withLock { $0 }?.signal(SIGSTOP) }

    public func resume() { self.process.withLock { $0 }?.signal(SIGCONT) }

    /// Ends it in its own orderly way.
    public func stop() async throws {
        guard let process = self.process.withLock({ $0 }) else { return }
        try await process.stop(within: .seconds(40))
        self.process.withLock { $0 = nil }
    }

    /// Starts it again on the same port with the same data, after stopping it in order when it runs.
    public func restart() async throws {
        try await self.stop()
        let process = try ChildProcess(
            self.command[0], Array(self.command.dropFirst()), environment: self.environment, folder: self.folder.path)
        self.process.withLock { $0 = process }
        // One may listen while the other does not yet.
        let ports = [self.port] + (self.tlsPort == 0 ? [] : [self.tlsPort])
        // RabbitMQ takes 8 to 20 s of CPU time before it listens.
        _ = try await eventually(
            within: .seconds(180), every: .milliseconds(20), "\(self.kind.rawValue) on ports \(ports)"
        ) {
            guard process.isRunning else {
                throw Failure(
                    description: "\(self.kind.rawValue) ended at its start:\n"
                        + (process.errors.events + process.output.events).suffix(20).joined(separator: "\n"))
            }
            return ports.allSatisfy(TestPorts.accepts) ? true : nil
        }
    }

    /// What it said on standard error since it was started last.
    public var log: [String] { self.process.withLock { $0 }?.errors.events ?? [] }

    /// mosquitto: adds a line to its configuration, for its next start or for SIGHUP; of two lines about one thing the last one counts.
    public func configure(_ line: String) throws {
        let path = self.folder.file("mosquitto.conf")
        let text = try String(contentsOfFile: path, encoding: .utf8)
        try self.folder.write(text + line + "\n", to: "mosquitto.conf")
    }

    /// Sends a signal, such as SIGHUP to make mosquitto read its passwords again.
    public func signal(_ number: Int32) { self.process.withLock { $0 }?.signal(number) }
}

extension LocalServer {
    private static func mosquitto(_ options: ServerOptions) async throws -> LocalServer {
        let folder = try TestFolder("mosquitto")
        let port = TestPorts.next()
        let tlsPort = options.tls == nil ? 0 : TestPorts.next()
        var lines = [
            "per_listener_settings false", "persistence true",
            "persistence_location \(options.dataFolder ?? folder.path)/",
            "autosave_interval 5", "max_queued_messages 100000", "max_inflight_messages 1000", "sys_interval 1",
            "set_tcp_nodelay true", "log_dest stderr",
        ]
        lines += ["error", "warning", "notice", "information", "subscribe", "unsubscribe"].map { "log_type \($0)" }
        // Started as root, mosquitto would become a user who cannot read this folder.
        if geteuid() == 0 { lines.append("user root") }
        if options.users.isEmpty {
            lines.append("allow_anonymous true")
        } else {
            let file = try folder.write("", to: "passwords", mode: 0o600)
            for (user, password) in options.users {
                try await ChildProcess.run("mosquitto_passwd", ["-b", file, user, password])
            }
            lines += ["allow_anonymous false", "password_file \(file)"]
        }
        if let accessList = options.accessList {
            lines.append("acl_file \(try folder.write(accessList, to: "acl", mode: 0o600))")
        }
        if !options.configuration.isEmpty { lines.append(options.configuration) }
        lines.append("listener \(port) 127.0.0.1")
        if !options.listener.isEmpty { lines.append(options.listener) }
        if let tls = options.tls {
            lines += [
                "listener \(tlsPort) 127.0.0.1", "cafile \(tls.authority)", "certfile \(tls.0.certificate)",
                "keyfile \(tls.0.key)", "require_certificate \(options.requiresClientCertificate)",
            ]
        }
        let file = try folder.write(lines.joined(separator: "\n") + "\n", to: "mosquitto.conf")
        return LocalServer(
            kind: .mosquitto, port: port, tlsPort: tlsPort, folder: folder, command: ["mosquitto", "-c", file])
    }

    private static func redis(_ options: ServerOptions) throws -> LocalServer {
        let folder = try TestFolder("redis")
        let port = TestPorts.next()
        let tlsPort = options.tls == nil ? 0 : TestPorts.next()
        var lines = [
            "port \(port)", "bind 127.0.0.1", "dir \(options.dataFolder ?? folder.path)", "save \"\"", "appendonly no",
            "daemonize no",
        ]
        if let accessList = options.accessList {
            lines.append("aclfile \(try folder.write(accessList, to: "users.acl"))")
        } else if !options.users.isEmpty {
            let users = options.users.map { "user \($0.key) on >\($0.value) allkeys allchannels allcommands" }
            let everyone = options.users.keys.contains("default") ? [] : ["user default off"]
            let text = (everyone + users).joined(separator: "\n") + "\n"
            lines.append("aclfile \(try folder.write(text, to: "users.acl"))")
        }
        if let tls = options.tls {
            lines += [
                "tls-port \(tlsPort)", "tls-cert-file \(tls.0.certificate)", "tls-key-file \(tls.0.key)",
                "tls-ca-cert-file \(tls.authority)",
                "tls-auth-clients \(options.requiresClientCertificate ? "yes" : "no")",
            ]
        }
        if !options.configuration.isEmpty { lines.append(options.configuration) }
        let file = try folder.write(lines.joined(separator: "\n") + "\n", to: "redis.conf")
        return LocalServer(
            kind: .redis, port: port, tlsPort: tlsPort, folder: folder, command: ["redis-server", file])
    }
}
