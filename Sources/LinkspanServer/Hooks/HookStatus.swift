public import LinkspanCore
internal import LinkspanWire

/// Where a service stands that answers over HTTP.
///
/// At rest `asked = answered + failures`; else those that wait and those under way are between.
public struct HookStatus: Sendable, Hashable {
    public var name: String
    /// Whether it is left alone for a while, after failures in a row.
    public var isLeftAlone = false
    /// Questions that came.
    public var asked = 0
    /// Those that were answered, errors of the service included.
    public var answered = 0
    public var failures: [HookFailure: Int] = [:]
    /// Decisions that were made without it, as ``HookSettings/unavailable`` says.
    public var presumed: [HookFallback: Int] = [:]
    /// Questions that wait for others to end, and those that are at the service.
    public var waiting = 0
    public var underWay = 0
    /// Attempts beyond the first of each question.
    public var repeated = 0

    public init(name: String) {
        self.name = name
    }
}

/// Why a service gave no answer.
public enum HookFailure: String, Error, Sendable, Hashable, CaseIterable {
    case timedOut = "timed_out"
    case unreachable
    /// A status from 500.
    case serverError = "server_error"
    /// Another status than 200 or 204.
    case rejected
    /// Not the JSON that is understood, too much of it, or a token that it may not give.
    case malformed
    /// Left alone, after failures in a row.
    case breakerOpen = "breaker_open"
    /// Too many questions wait, or one waited too long.
    case queueFull = "queue_full"
    /// The client left before the answer, which says nothing about the service.
    case abandoned

    /// Whether the service itself is in trouble.
    var isOutage: Bool {
        switch self {
        case .timedOut, .unreachable, .serverError: true
        case .rejected, .malformed, .breakerOpen, .queueFull, .abandoned: false
        }
    }

    /// Whether nobody was there to decide; a service that answers in a way that is not understood may have meant no.
    var isAbsence: Bool {
        switch self {
        case .timedOut, .unreachable, .serverError, .breakerOpen, .queueFull: true
        case .rejected, .malformed, .abandoned: false
        }
    }

    /// What the client is told; details are the operator's.
    var error: ProtocolError {
        switch self {
        case .timedOut:
            ProtocolError(name: "TimeoutError", message: "The service behind this did not answer in time")
        case .unreachable, .serverError, .rejected, .malformed, .breakerOpen, .queueFull, .abandoned:
            ProtocolError(name: "UnavailableError", message: "The service behind this is not available")
        }
    }
}
