internal import LinkspanBridgeKit

/// What `at_least_once` rests on at a Redis server, as far as the server tells this user.
struct StreamPromises: Equatable {
    /// What is asked for by `CONFIG GET`, one by one: Redis before 7 takes one at a time, and `*` would bring passwords.
    static let settings = [
        "appendonly", "appendfsync", "maxmemory", "maxmemory-policy", "min-replicas-to-write",
    ]

    /// The fields of `INFO`; empty when it is not permitted.
    private var info: [Substring: Substring] = [:]
    /// Those of ``settings`` that were told.
    private var config: [String: String] = [:]
    /// Whether another server may take this one's place.
    private let failsOver: Bool

    init(failsOver: Bool) {
        self.failsOver = failsOver
    }

    mutating func infoReceived(_ text: String) {
        for line in text.split(whereSeparator: \.isNewline) {
            let parts = line.split(separator: ":", maxSplits: 1)
            if parts.count == 2 { self.info[parts[0]] = parts[1] }
        }
    }

    mutating func settingReceived(_ name: String, _ value: String) {
        self.config[name] = value
    }

    var findings: [UpstreamPromise] {
        [self.version, self.persistence, self.eviction] + (self.replication.map { [$0] } ?? [])
    }

    private var version: UpstreamPromise {
        let name = "version"
        guard let version = self.info["redis_version"],
            let major = version.split(separator: ".").first.flatMap({ Int($0) })
        else { return UpstreamPromise(name, .assumed, "this user may not ask for it (INFO)") }
        return major >= 5
            ? UpstreamPromise(name, .kept, "Redis \(version) has streams")
            : UpstreamPromise(name, .broken, "Redis \(version) has no streams, which came with 5.0")
    }

    private var persistence: UpstreamPromise {
        let name = "persistence"
        let isAppending = self.info["aof_enabled"].map { $0 == "1" } ?? self.config["appendonly"].map { $0 == "yes" }
        switch isAppending {
        case nil:
            return UpstreamPromise(name, .assumed, "this user may ask neither INFO nor CONFIG GET appendonly")
        case false?:
            return UpstreamPromise(
                name, .broken,
                "Redis has no append-only file: what it answered is gone with the process, up to the last snapshot; set "
                    + "appendonly yes")
        case true?:
            return UpstreamPromise(name, .kept, "append-only file, \(self.synchronisation)")
        }
    }

    private var synchronisation: String {
        switch self.config["appendfsync"] {
        case "always": "on the disk before Redis answers"
        case "everysec": "which a power failure may cost its last second (appendfsync everysec)"
        case "no": "which the system writes when it sees fit (appendfsync no): a power failure may cost its end"
        default: "and this user may not ask how soon it is on the disk (CONFIG GET appendfsync)"
        }
    }

    private var eviction: UpstreamPromise {
        let name = "eviction"
        let limit = self.info["maxmemory"].map(String.init) ?? self.config["maxmemory"]
        let policy = self.info["maxmemory_policy"].map(String.init) ?? self.config["maxmemory-policy"]
        if policy == "noeviction" { return UpstreamPromise(name, .kept, "a full Redis refuses writes (noeviction)") }
        if limit == "0" { return UpstreamPromise(name, .kept, "Redis has no maxmemory, so it evicts nothing") }
        guard let policy else {
            return UpstreamPromise(name, .assumed, "this user may ask neither INFO nor CONFIG GET maxmemory-policy")
        }
        return UpstreamPromise(
            name, .broken,
            policy.hasPrefix("volatile-")
                ? "a full Redis drops the note of how far this instance has read (\(policy)); set maxmemory-policy noeviction"
                : "a full Redis drops the stream (\(policy)); set maxmemory-policy noeviction")
    }

    /// Nil where nothing takes over.
    private var replication: UpstreamPromise? {
        let replicas = self.info["connected_slaves"].flatMap { Int($0) } ?? 0
        guard self.failsOver || replicas > 0 else { return nil }
        let bound =
            switch self.config["min-replicas-to-write"].map({ Int($0) }) {
            case 0??: "and goes on without any (min-replicas-to-write 0): a failover loses what they did not have"
            case let count??:
                "and stops when fewer than \(count) keep up: a failover loses what they did not have by then"
            default: "and this user may not ask for how many it waits (CONFIG GET min-replicas-to-write)"
            }
        return UpstreamPromise("replication", .assumed, "Redis answers before its replicas have a message, \(bound)")
    }
}
