internal import Glibc

/// A server that takes part in a comparison.
enum Contender: String, Sendable, CaseIterable {
    /// One send for each message and subscriber.
    case floorEach = "floor-each"
    /// One send for each subscriber and turn.
    case floorBatch = "floor-batch"
    case linkspan
    /// With two event loops on two cores.
    case linkspanTwoLoops = "linkspan-2-loops"
    /// With a bridge to a Redis on a core of its own, and all that proves what came: probes, ledger, windows, repair.
    case linkspanBridged = "linkspan-bridged"
    /// A program whose outbound middleware is asked for each subscriber, and allows everything.
    case linkspanOutbound = "linkspan-outbound"
    case redis
    case nats
    case mosquitto
    case nchan

    var dialect: Dialect {
        switch self {
        case .floorEach, .floorBatch, .linkspan, .linkspanTwoLoops, .linkspanBridged, .linkspanOutbound:
            .socketCluster
        case .mosquitto: .mqtt
        case .redis: .redis
        case .nats: .nats
        case .nchan: .plainWebSocket
        }
    }

    /// Servers that others made, from Debian's archive.
    static let peers: [Contender] = [.redis, .nats, .mosquitto, .nchan]

    var isPeer: Bool { Self.peers.contains(self) }

    /// Why it cannot take part on this machine; nil when it can.
    var absence: String? {
        switch self {
        case .floorEach, .floorBatch, .linkspan, .linkspanTwoLoops, .linkspanOutbound: nil
        case .linkspanBridged: Upstream.redis.absence
        case .redis: ServerProcess.find("redis-server") == nil ? "redis-server is not installed" : nil
        case .nats: ServerProcess.find("nats-server") == nil ? "nats-server is not installed" : nil
        case .mosquitto: ServerProcess.find("mosquitto") == nil ? "mosquitto is not installed" : nil
        case .nchan:
            ServerProcess.find("nginx") == nil || ProcessMeter.text(Self.nchanModule).isEmpty
                ? "nginx with libnginx-mod-nchan is not installed" : nil
        }
    }

    private static let nchanModule = "/usr/lib/nginx/modules/ngx_nchan_module.so"

    /// Name and version as the program tells them; nil for the floor.
    func version(_ tools: Tools) -> String? {
        switch self {
        case .floorEach, .floorBatch, .linkspanTwoLoops, .linkspanBridged, .linkspanOutbound: nil
        case .linkspan: Shell.firstLine([tools.linkspan, "version"]).map { "linkspan \($0)" }
        case .redis: Shell.firstLine(["redis-server", "--version"])
        case .nats: Shell.firstLine(["nats-server", "--version"])
        case .mosquitto: Shell.firstLine(["mosquitto", "-h"])
        case .nchan: Shell.firstLine(["nginx", "-v"]).map { "\($0) with nchan" }
        }
    }

    /// Starts it on a free port of 127.0.0.1, as it comes, with one thread for its clients where that is a choice.
    func start(_ tools: Tools, _ folder: ScratchFolder, cores: Cores) throws -> RunningServer {
        let port = try Loopback.freePort()
        let log = folder.file("\(self.rawValue)-\(port).log")
        let process: ServerProcess
        var broker: [ServerProcess] = []
        switch self {
        case .floorEach:
            process = try ServerProcess(
                [tools.bench, "floor", "--port", "\(port)"], cores: cores.server, log: log)
        case .floorBatch:
            process = try ServerProcess(
                [tools.bench, "floor", "--port", "\(port)", "--batch"], cores: cores.server, log: log)
        case .linkspan, .linkspanTwoLoops, .linkspanBridged:
            let loops = self == .linkspanTwoLoops ? 2 : 1
            var bridges = ""
            if self == .linkspanBridged {
                let upstream = try Upstream.redis.start(folder, cores: cores)
                broker = upstream.processes
                bridges = Upstream.redis.settings(port: upstream.port, direction: "both", rule: "repair: {}")
            }
            let settings = """
                version: 1
                instance: { id: bench }
                server:
                  clients: { host: 127.0.0.1, port: \(port) }
                  event_loops: \(loops)
                \(bridges)
                """
            let file = try folder.write(settings, to: "linkspan-\(port).yaml")
            process = try ServerProcess(
                [tools.linkspan, "serve", "--config", file],
                cores: loops == 1 ? cores.server : cores.server + cores.broker.filter { !cores.server.contains($0) },
                log: log)
        case .linkspanOutbound:
            process = try ServerProcess([tools.bench, "outbound", "--port", "\(port)"], cores: cores.server, log: log)
        case .redis:
            process = try ServerProcess(
                [
                    "redis-server", "--port", "\(port)", "--bind", "127.0.0.1", "--save", "", "--dir", folder.path,
                    "--maxclients", "30000",
                ], cores: cores.server, log: log)
        case .nats:
            process = try ServerProcess(
                ["nats-server", "--addr", "127.0.0.1", "--port", "\(port)"], environment: ["GOMAXPROCS": "1"],
                cores: cores.server, log: log)
        case .mosquitto:
            let file = try folder.write(
                """
                listener \(port) 127.0.0.1
                allow_anonymous true
                set_tcp_nodelay true
                max_queued_messages 0
                user root

                """, to: "mosquitto-\(port).conf")
            process = try ServerProcess(["mosquitto", "-c", file], cores: cores.server, log: log)
        case .nchan:
            let file = try folder.write(Self.nchanSettings(port, folder), to: "nginx-\(port).conf")
            process = try ServerProcess(["nginx", "-p", folder.path, "-c", file], cores: cores.server, log: log)
        }
        try process.awaitPort(port)
        if self == .linkspanTwoLoops, cores.server != cores.broker {
            Cores.pin(process.meter.threads(named: "NIO-ELT"), to: cores.server + cores.broker)
        }
        return RunningServer(contender: self, process: process, port: port, broker: broker)
    }

    private static func nchanSettings(_ port: UInt16, _ folder: ScratchFolder) -> String {
        """
        load_module \(Self.nchanModule);
        daemon off;
        user root;
        worker_processes 1;
        pid \(folder.file("nginx-\(port).pid"));
        error_log stderr error;
        worker_rlimit_nofile 65536;
        events { worker_connections 30000; }
        http {
            access_log off;
            client_body_temp_path \(folder.file("body"));
            proxy_temp_path \(folder.file("proxy"));
            fastcgi_temp_path \(folder.file("fastcgi"));
            uwsgi_temp_path \(folder.file("uwsgi"));
            scgi_temp_path \(folder.file("scgi"));
            server {
                listen 127.0.0.1:\(port) backlog=4096;
                location ~ ^/sub/(.+)$ {
                    nchan_subscriber websocket;
                    nchan_channel_id $1;
                    nchan_subscriber_first_message newest;
                }
                location ~ ^/pub/(.+)$ {
                    nchan_publisher websocket;
                    nchan_channel_id $1;
                    nchan_store_messages off;
                }
            }
        }

        """
    }
}

/// A contender that accepts connections.
struct RunningServer: Sendable {
    var contender: Contender
    var process: ServerProcess
    var port: UInt16
    /// What it needs and is not measured.
    var broker: [ServerProcess] = []
}

/// The programs that a comparison starts.
struct Tools: Sendable {
    var linkspan: String
    /// This one, for the floor.
    var bench: String

    /// Where the program is that runs this.
    static var thisProgram: String {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        return String(decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
