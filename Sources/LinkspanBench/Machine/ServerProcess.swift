internal import Glibc

/// A program that was started for a benchmark; it ends with this value.
final class ServerProcess: Sendable {
    let command: [String]
    private let process: pid_t
    private let log: String
    private let caretaker: Caretaker

    /// - Parameters:
    ///   - command: the program, found in `PATH` and the folders of daemons, and its arguments.
    ///   - environment: added to ours.
    ///   - cores: where it may run; none means everywhere.
    ///   - log: a file for what it writes.
    ///   - caretaker: ends it when nobody else does.
    init(
        _ command: [String], environment: [String: String] = [:], cores: [Int], log: String,
        caretaker: Caretaker = .shared
    ) throws {
        guard let program = Self.find(command[0]) else { throw BenchError("\(command[0]) is not installed") }
        self.command = command
        self.log = log
        self.caretaker = caretaker
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // A group of its own, so that what it starts ends with it; and signals as in a shell, which we ignore in part.
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        let variables = Self.variables(and: environment)
        let arguments = ([program] + command.dropFirst()).map { strdup($0) } + [nil]
        let values = variables.map { strdup($0) } + [nil]
        defer { (arguments + values).forEach { free($0) } }
        let ours = Cores.allowed()
        Cores.pin(to: cores)
        defer { Cores.pin(to: ours) }
        var process = pid_t()
        let code = posix_spawn(&process, program, &actions, &attributes, arguments, values)
        guard code == 0 else { throw BenchError("\(program): \(String(cString: strerror(code)))") }
        self.process = process
        caretaker.started(group: process)
    }

    deinit {
        kill(-self.process, SIGTERM)
        let deadline = MonotonicClock.nanoseconds() + 3_000_000_000
        var status: Int32 = 0
        // What it started may outlive it, and would disturb whoever is measured next.
        while waitpid(self.process, &status, WNOHANG) == 0 || kill(-self.process, 0) == 0 {
            if MonotonicClock.nanoseconds() > deadline { kill(-self.process, SIGKILL) }
            usleep(5000)
        }
        self.caretaker.ended(group: self.process)
    }

    var meter: ProcessMeter { ProcessMeter(process: self.process) }

    /// Returns when it accepts connections.
    func awaitPort(_ port: UInt16, within limit: Duration = .seconds(20)) throws {
        let deadline = MonotonicClock.nanoseconds() + limit.nanoseconds
        while !Loopback.accepts(port: port) {
            var status: Int32 = 0
            if waitpid(self.process, &status, WNOHANG) == self.process || MonotonicClock.nanoseconds() > deadline {
                let words = ProcessMeter.text(self.log).split(separator: "\n").suffix(3).joined(separator: " / ")
                throw BenchError("\(self.command[0]) did not start: \(words)")
            }
            usleep(10_000)
        }
    }

    /// Starts again, twice at most, when that fails: a port that was free may be taken by the time it is used.
    static func started<Running>(_ start: () throws -> Running) throws -> Running {
        for _ in 0..<2 {
            if let running = try? start() { return running }
        }
        return try start()
    }

    /// The path of a program; nil when it is not installed.
    static func find(_ program: String) -> String? {
        if program.contains("/") { return access(program, X_OK) == 0 ? program : nil }
        let path = getenv("PATH").map { String(cString: $0) } ?? ""
        return (path.split(separator: ":").map(String.init) + ["/usr/sbin", "/sbin", "/usr/bin"])
            .map { "\($0)/\(program)" }.first { access($0, X_OK) == 0 }
    }

    private static func variables(and more: [String: String]) -> [String] {
        var variables: [String] = []
        var at = environ
        while let entry = at.pointee {
            let text = String(cString: entry)
            if !more.keys.contains(where: { text.hasPrefix("\($0)=") }) { variables.append(text) }
            at += 1
        }
        return variables + more.map { "\($0.key)=\($0.value)" }
    }
}
