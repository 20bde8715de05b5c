internal import Glibc
internal import LinkspanAdmin
internal import LinkspanServer
internal import NIOCore

/// Why a port cannot be opened, and what to do.
enum ListenProblem {
    static func describe(_ error: ListenError) -> String {
        self.describe(error.cause, host: error.host, port: error.port, option: "--port") ?? error.description
    }

    static func describe(_ error: OperatorListenError) -> String {
        self.describe(error.cause, host: error.host, port: error.port, option: "--operator-port") ?? error.description
    }

    /// Nil for a cause that is not the system's.
    private static func describe(_ cause: any Error, host: String, port: Int, option: String) -> String? {
        guard let cause = cause as? IOError else { return nil }
        let words = String(cString: strerror(cause.errnoCode)).lowercased()
        let head = "cannot listen on \(host):\(port): \(words)"
        return self.hint(cause.errnoCode, port: port, option: option).map { "\(head)\n    \($0)" } ?? head
    }

    private static func hint(_ code: Int32, port: Int, option: String) -> String? {
        switch code {
        case EADDRINUSE: "choose another port with \(option), or stop what listens there: ss -ltnp 'sport = :\(port)'"
        case EACCES: "ports below 1024 need privileges; choose another with \(option)"
        case EADDRNOTAVAIL: "this machine has no such address; 0.0.0.0 is every one"
        default: nil
        }
    }
}
