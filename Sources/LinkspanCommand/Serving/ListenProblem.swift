internal import Glibc
internal import LinkspanServer
internal import NIOCore

/// Why the client port cannot be opened, and what to do.
enum ListenProblem {
    static func describe(_ error: ListenError) -> String {
        guard let cause = error.cause as? IOError else { return error.description }
        let words = String(cString: strerror(cause.errnoCode)).lowercased()
        let head = "cannot listen on \(error.host):\(error.port): \(words)"
        return Self.hint(cause.errnoCode, port: error.port).map { "\(head)\n    \($0)" } ?? head
    }

    private static func hint(_ code: Int32, port: Int) -> String? {
        switch code {
        case EADDRINUSE: "choose another port with --port, or stop what listens there: ss -ltnp 'sport = :\(port)'"
        case EACCES: "ports below 1024 need privileges; choose another with --port"
        case EADDRNOTAVAIL: "this machine has no such address; 0.0.0.0 is every one"
        default: nil
        }
    }
}
