internal import CTestSupport
internal import Foundation
internal import Glibc
internal import Synchronization

/// A program that a test runs: its lines as they come, its end, its signals. It dies with the test process.
public final class ChildProcess: Sendable {
    public enum Exit: Hashable, Sendable {
        case status(Int32)
        case signal(Int32)
    }

    public struct LaunchFailure: Error, CustomStringConvertible {
        public var description: String
    }

    /// What it is called in failures.
    public let name: String
    public let identifier: Int32
    /// Lines of standard output, without their ends.
    public let output = EventLog<String>()
    /// Lines of standard error, without their ends.
    public let errors = EventLog<String>()

    private let exits = EventLog<Exit>()
    private let input: Int32

    /// Starts it.
    /// - Parameters:
    ///   - executable: a path, or a name that is looked for in `PATH` and in the `sbin` folders.
    ///   - environment: on top of ours; nil values are removed.
    public init(
        _ executable: String, _ arguments: [String] = [], environment: [String: String?] = [:], folder: String? = nil
    ) throws {
        guard let path = Self.find(executable) else {
            throw LaunchFailure(description: "\(executable): no such program in PATH")
        }
        self.name = (path as NSString).lastPathComponent
        let output = try Pipe()
        let errors = try Pipe()
        let input = try Pipe()
        self.input = input.write

        // The kernel sends a parent-death signal when the spawning thread ends, so a thread that lives as long as the child spawns it.
        let launched = Launch()
        let isLaunched = DispatchSemaphore(value: 0)
        let exits = self.exits
        // setpriv turns into the program itself: same process, same number.
        let command = ["/usr/bin/setpriv", "--pdeathsig", "KILL", path] + arguments
        let variables = Self.environment(with: environment)
        let waiter = Thread {
            let result = Self.spawn(
                command, variables, folder: folder, input: input.read, output: output.write, errors: errors.write)
            launched.result.withLock { $0 = result }
            isLaunched.signal()
            if case .success(let identifier) = result { exits.append(Self.wait(for: identifier)) }
        }
        waiter.start()
        isLaunched.wait()
        for end in [input.read, output.write, errors.write] { close(end) }
        do {
            self.identifier = try launched.result.withLock { $0 }!.get()
        } catch {
            for end in [input.write, output.read, errors.read] { close(end) }
            throw error
        }
        Self.read(output.read, into: self.output)
        Self.read(errors.read, into: self.errors)
    }

    deinit {
        close(self.input)
        if self.exits.count == 0 { Glibc.kill(self.identifier, SIGKILL) }
    }

    public var isRunning: Bool { self.exits.count == 0 }

    public func signal(_ number: Int32) {
        guard self.isRunning else { return }
        Glibc.kill(self.identifier, number)
    }

    /// Writes to its standard input. Blocks while the pipe is full.
    public func send(_ text: String) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { write(self.input, $0.baseAddress, $0.count) }
            guard count > 0 else { return }
            bytes = bytes.dropFirst(count)
        }
    }

    /// Waits for its end.
    /// - Throws: ``TimedOut``
    public func exit(within limit: Duration = .seconds(60)) async throws -> Exit {
        let errors = self.errors
        return try await self.exits.first(within: limit, "end of \(self.name) \(errors.events.suffix(5))").event
    }

    /// Sends SIGTERM, then SIGKILL when it does not end within `limit`.
    @discardableResult
    public func stop(within limit: Duration = .seconds(60)) async throws -> Exit {
        self.signal(SIGCONT)
        self.signal(SIGTERM)
        if let exit = try? await self.exit(within: limit) { return exit }
        self.signal(SIGKILL)
        return try await self.exit()
    }

    /// Runs a program to its end.
    /// - Throws: ``LaunchFailure`` when it cannot start or ends with anything but status 0.
    @discardableResult
    public static func run(
        _ executable: String, _ arguments: [String] = [], input: String? = nil, environment: [String: String?] = [:],
        folder: String? = nil, within limit: Duration = .seconds(60)
    ) async throws -> [String] {
        let child = try ChildProcess(executable, arguments, environment: environment, folder: folder)
        if let input { child.send(input) }
        child.closeInput()
        let exit = try await child.exit(within: limit)
        // Both pipes end with the process; what it wrote last may still be on its way here.
        let lines = try await child.output.all(within: limit)
        let errors = try await child.errors.all(within: limit)
        guard exit == .status(0) else {
            throw LaunchFailure(
                description: "\(executable) \(arguments.joined(separator: " ")): \(exit)\n"
                    + (errors + lines).suffix(20).joined(separator: "\n"))
        }
        return lines
    }

    /// Ends its standard input. Nothing may be sent afterwards.
    public func closeInput() {
        // The descriptor's number stays taken until deinit, so that it cannot become another file's in between.
        let null = open("/dev/null", O_WRONLY | O_CLOEXEC)
        dup3(null, self.input, O_CLOEXEC)
        close(null)
    }

    /// The path of an installed program.
    public static func find(_ executable: String) -> String? {
        if executable.contains("/") { return access(executable, X_OK) == 0 ? executable : nil }
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        return (path.split(separator: ":").map(String.init) + ["/usr/sbin", "/sbin", "/usr/bin"])
            .map { "\($0)/\(executable)" }.first { access($0, X_OK) == 0 }
    }
}

extension ChildProcess {
    private final class Launch: Sendable {
        let result = Mutex<Result<pid_t, LaunchFailure>?>(nil)
    }

    private struct Pipe {
        var read: Int32
        var write: Int32

        init() throws {
            var ends: [Int32] = [0, 0]
            guard pipe2(&ends, O_CLOEXEC) == 0 else { throw LaunchFailure(description: "pipe2: errno \(errno)") }
            (self.read, self.write) = (ends[0], ends[1])
        }
    }

    private static func environment(with changes: [String: String?]) -> [String] {
        var variables = ProcessInfo.processInfo.environment
        for (name, value) in changes { variables[name] = value }
        return variables.map { "\($0.key)=\($0.value)" }
    }

    private static func spawn(
        _ command: [String], _ environment: [String], folder: String?, input: Int32, output: Int32, errors: Int32
    ) -> Result<pid_t, LaunchFailure> {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, input, 0)
        posix_spawn_file_actions_adddup2(&actions, output, 1)
        posix_spawn_file_actions_adddup2(&actions, errors, 2)
        // A server that inherited a listening socket would keep its port busy after a restart.
        posix_spawn_file_actions_addclosefrom_np(&actions, 3)
        if let folder { posix_spawn_file_actions_addchdir_np(&actions, folder) }

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var defaults = sigset_t()
        sigfillset(&defaults)
        var mask = sigset_t()
        sigemptyset(&mask)
        posix_spawnattr_setsigdefault(&attributes, &defaults)
        posix_spawnattr_setsigmask(&attributes, &mask)
        posix_spawnattr_setflags(
            &attributes, Int16(POSIX_SPAWN_SETSIGDEF) | Int16(POSIX_SPAWN_SETSIGMASK) | Int16(POSIX_SPAWN_SETPGROUP))

        let argumentPointers = command.map { strdup($0) } + [nil]
        let environmentPointers = environment.map { strdup($0) } + [nil]
        defer { (argumentPointers + environmentPointers).forEach { free($0) } }
        var identifier = pid_t()
        let code = posix_spawn(
            &identifier, command[0], &actions, &attributes, argumentPointers, environmentPointers)
        guard code == 0 else {
            return .failure(
                LaunchFailure(description: "\(command.joined(separator: " ")): \(String(cString: strerror(code)))"))
        }
        return .success(identifier)
    }

    private static func wait(for identifier: pid_t) -> Exit {
        var status: Int32 = 0
        while waitpid(identifier, &status, 0) < 0, errno == EINTR {}
        // wait(2): the low seven bits are the signal, or zero after an exit.
        let signal = status & 0x7F
        return signal == 0 ? .status((status >> 8) & 0xFF) : .signal(signal)
    }

    private static func read(_ descriptor: Int32, into log: EventLog<String>) {
        Thread {
            var rest: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 1 << 16)
            while true {
                let count = Glibc.read(descriptor, &buffer, buffer.count)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { break }
                var lines = (rest + buffer[..<count]).split(
                    separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
                rest = Array(lines.removeLast())
                for line in lines { log.append(String(decoding: line, as: UTF8.self)) }
            }
            close(descriptor)
            if !rest.isEmpty { log.append(String(decoding: rest, as: UTF8.self)) }
            log.finish()
        }.start()
    }
}

extension EventLog {
    /// Waits for the end of the log.
    public func all(within limit: Duration) async throws -> [Event] {
        do {
            _ = try await self.first(from: .max, within: limit, "end of the output")
        } catch let error as TimedOut where error.limit == nil {
            // Finished: nothing can be at that index.
        }
        return self.events
    }
}
