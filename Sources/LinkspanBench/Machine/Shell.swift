internal import Glibc

enum Shell {
    /// Runs a program to its end.
    static func run(_ command: [String]) throws {
        guard let program = ServerProcess.find(command[0]) else { throw BenchError("\(command[0]) is not installed") }
        let words = ([program] + command.dropFirst()).map { "'\($0)'" }.joined(separator: " ")
        guard let pipe = popen("\(words) 2>&1", "r") else { throw BenchError("cannot start \(program)") }
        var last = ""
        var line: UnsafeMutablePointer<CChar>?
        var room = 0
        defer { free(line) }
        while getline(&line, &room, pipe) > 0, let line { last = String(String(cString: line).prefix { $0 != "\n" }) }
        guard pclose(pipe) == 0 else { throw BenchError("\(command[0]) failed: \(last)") }
    }

    /// The first line that a program prints; nil when it is not there or prints nothing.
    static func firstLine(_ command: [String]) -> String? {
        guard let program = ServerProcess.find(command[0]) else { return nil }
        let words = ([program] + command.dropFirst()).map { "'\($0)'" }.joined(separator: " ")
        guard let pipe = popen("\(words) 2>&1", "r") else { return nil }
        defer { pclose(pipe) }
        var line: UnsafeMutablePointer<CChar>?
        var room = 0
        defer { free(line) }
        guard getline(&line, &room, pipe) > 0, let line else { return nil }
        return String(String(cString: line).prefix { $0 != "\n" })
    }
}
