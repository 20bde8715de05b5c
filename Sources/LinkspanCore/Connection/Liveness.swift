public import LinkspanWire
public import NIOCore

/// The clocks of one connection: handshake timeout, pings, pongs, and how long a close may take (section 4 of the protocol's description).
///
/// Pings are counted from the opening of the WebSocket, the pong timeout from the last pong. A listener that admits both protocols pings in
/// both until the first pong tells which one the client speaks.
public struct Liveness: Sendable, Hashable {
    public enum Event: Sendable, Hashable {
        case nothing
        case ping(PingForm)
        case handshakeTimedOut
        case pongTimedOut
        case closeTimedOut
    }

    public enum PingForm: Sendable, Hashable {
        case only(Dialect)
        /// The empty message and `#1`, one after the other; a client answers the one it knows.
        case both
    }

    /// The dialect that the client is known to speak; nil while a listener for both has had no pong.
    public private(set) var dialect: Dialect?
    private var nextPing: NIODeadline
    private var silenceEnds: NIODeadline
    /// Of the handshake before it, of the close after it began.
    private var phaseEnds: NIODeadline
    private var isClosing = false

    public init(openedAt now: NIODeadline, rules: ConnectionRules) {
        self.dialect =
            switch rules.protocolChoice {
            case .auto: nil
            case .v1: .v1
            case .v2: .v2
            }
        self.nextPing = rules.sendsPings ? now + rules.pingInterval : .distantFuture
        self.silenceEnds = rules.sendsPings ? now + rules.pingTimeout : .distantFuture
        self.phaseEnds = now + rules.handshakeTimeout
    }

    /// When ``timePassed(at:rules:)`` should be called next.
    public var nextDeadline: NIODeadline {
        self.isClosing ? self.phaseEnds : min(self.nextPing, self.silenceEnds, self.phaseEnds)
    }

    public mutating func handshakeCompleted() {
        self.phaseEnds = .distantFuture
    }

    /// Either pong counts in either dialect: some clients answer both pings, or the wrong one.
    public mutating func pongReceived(_ dialect: Dialect, at now: NIODeadline, rules: ConnectionRules) {
        if self.dialect == nil { self.dialect = dialect }
        self.extend(from: now, rules: rules)
    }

    /// Any message shows that the client lives, as release 14 sees it; release 19 counts pongs only.
    public mutating func messageReceived(at now: NIODeadline, rules: ConnectionRules) {
        if self.dialect == .v1 { self.extend(from: now, rules: rules) }
    }

    /// We did not read for a while, so its silence was ours.
    public mutating func readingResumed(at now: NIODeadline, rules: ConnectionRules) {
        self.extend(from: now, rules: rules)
    }

    public mutating func closeBegan(at now: NIODeadline, rules: ConnectionRules) {
        self.isClosing = true
        self.phaseEnds = now + rules.closeTimeout
    }

    /// - Parameter isReadingPaused: by us, so that a pong may be waiting unread.
    public mutating func timePassed(
        at now: NIODeadline, rules: ConnectionRules, isReadingPaused: Bool = false
    ) -> Event {
        if self.phaseEnds <= now { return self.isClosing ? .closeTimedOut : .handshakeTimedOut }
        if self.isClosing { return .nothing }
        if self.silenceEnds <= now {
            guard isReadingPaused else { return .pongTimedOut }
            self.extend(from: now, rules: rules)
        }
        guard self.nextPing <= now else { return .nothing }
        // After a long stall one ping is due, not one for every interval that was missed.
        repeat { self.nextPing = self.nextPing + rules.pingInterval } while self.nextPing <= now
        return .ping(self.dialect.map(PingForm.only) ?? .both)
    }

    private mutating func extend(from now: NIODeadline, rules: ConnectionRules) {
        if rules.sendsPings { self.silenceEnds = now + rules.pingTimeout }
    }
}
