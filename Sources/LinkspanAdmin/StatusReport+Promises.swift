internal import LinkspanBridgeKit

extension StatusReport {
    /// One thing that the guarantee of a bridge rests on, and what the upstream showed of it.
    public struct Promise: Codable, Hashable, Sendable {
        /// A word of the bridge's own list, such as `persistence`.
        public var name: String
        /// An `UpstreamPromise.State`: `kept`, `assumed` or `broken`.
        public var state: String
        /// For people.
        public var reason: String
    }
}

extension StatusReport.Promise {
    init(_ promise: UpstreamPromise) {
        self.init(name: promise.name, state: promise.state.rawValue, reason: promise.reason)
    }

    /// One line for people, without what may steer a terminal.
    func line(_ colour: (String) -> String, _ printable: (String) -> String) -> String {
        "  promise  \(printable(self.name))  \(colour(self.state)): \(printable(self.reason))"
    }
}
