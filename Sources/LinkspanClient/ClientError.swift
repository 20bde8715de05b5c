/// Why a client could not do what it was asked.
public struct ClientError: Error, Hashable, Sendable, CustomStringConvertible {
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        public let description: String
        private init(_ description: String) { self.description = description }

        public static let badURL = Code("bad_url")
        /// No connection came about: refused, unreachable, timed out, name not found.
        public static let unreachable = Code("unreachable")
        /// TLS failed: wrong authority, wrong host name, expired.
        public static let untrusted = Code("untrusted")
        /// There is a server, and it did not take the WebSocket: wrong path, origin, too many connections.
        public static let notAccepted = Code("not_accepted")
        /// The connection ended. A publish that it carried may or may not have been taken.
        public static let lost = Code("lost")
        /// The server closed with a code that asks us to stay away.
        public static let dismissed = Code("dismissed")
        /// The server answered with an error.
        public static let refused = Code("refused")
        /// No answer within ``ClientSettings/ackTimeout``.
        public static let timedOut = Code("timed_out")
        /// More publishes wait than ``ClientSettings/waitingPublishes``.
        public static let tooMany = Code("too_many")
        /// The client was stopped.
        public static let stopped = Code("stopped")
    }

    public var code: Code
    /// What happened, for people; never a payload or a token.
    public var message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { self.message }
}
