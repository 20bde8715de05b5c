internal import LinkspanCore
internal import LinkspanWire
internal import NIOCore

/// Whom a server asks about what, as its connections look it up.
struct MiddlewareGate: Sendable {
    let middleware: Middleware
    let timeLimit: TimeAmount
    let asksUpgrade: Bool
    let asksHandshake: Bool
    let asksMessage: Bool
    let asksEvent: Bool
    let asksSubscribe: Bool
    let asksPublish: Bool
    let asksToken: Bool
    let asksDelivery: Bool
    let limitsChannels: Bool

    init(_ middleware: Middleware) {
        self.middleware = middleware
        self.timeLimit = TimeAmount(middleware.timeLimit)
        self.asksUpgrade = middleware.asks(about: .handshakeWS)
        self.asksHandshake = middleware.asks(about: .handshakeSC)
        self.asksMessage = middleware.asks(about: .message)
        self.asksEvent = middleware.asks(about: .transmit) || middleware.asks(about: .invoke)
        self.asksSubscribe = middleware.asks(about: .subscribe)
        self.asksPublish = middleware.asks(about: .publishIn)
        self.asksToken = middleware.asks(about: .authenticate)
        self.asksDelivery = middleware.asks(about: .publishOut)
        self.limitsChannels = middleware.channels != nil
    }

    func asks(about type: MiddlewareActionType) -> Bool { self.middleware.asks(about: type) }
}

extension MiddlewareActionType {
    /// The line it is asked on.
    private var line: String {
        switch self {
        case .handshakeWS, .handshakeSC: "handshake"
        case .message: "inboundRaw"
        case .transmit, .invoke, .subscribe, .publishIn, .authenticate: "inbound"
        case .publishOut: "outbound"
        }
    }

    /// The line it was asked on in release 14, which has one for each action.
    private var formerLine: String {
        switch self {
        case .transmit, .invoke: "emit"
        case .handshakeWS, .handshakeSC, .message, .subscribe, .publishIn, .authenticate, .publishOut: self.rawValue
        }
    }

    /// What a client is told that is blocked by `error`; nil stands for no error in particular.
    func refusal(_ error: (any Error)?, dialect: Dialect) -> any Error {
        switch error {
        case let error as ProtocolError where !error.isSilent: error
        case let error as ErrorValue: error
        case nil, is ProtocolError:
            ProtocolError.silentlyBlocked(
                action: self.rawValue, line: dialect == .v1 ? self.formerLine : self.line, dialect: dialect)
        case .some:
            // Its text may hold what is not the client's to know.
            ProtocolError(name: "ApplicationError", message: "The server failed to decide")
        }
    }

    /// As ``refusal(_:dialect:)``, where only an object will do.
    func refusalObject(_ error: (any Error)?, dialect: Dialect) -> ProtocolError {
        switch self.refusal(error, dialect: dialect) {
        case let error as ProtocolError: error
        case let error as ErrorValue: ProtocolError(name: "Error", message: error.text)
        default: ProtocolError.silentlyBlocked(action: self.rawValue, line: self.line, dialect: dialect)
        }
    }

    /// Nobody decided in time.
    var lateError: ProtocolError {
        ProtocolError(
            name: "TimeoutError", message: "The \(self.line) middleware took too long to decide about \(self.rawValue)")
    }
}

extension ProtocolError {
    fileprivate var isSilent: Bool { self.fields.contains { $0.key == "silent" && $0.value.isTrue } }

    /// Whether it asks the client to forget its token.
    var isAboutBadToken: Bool { self.fields.contains { $0.key == "isBadToken" && $0.value.isTrue } }
}

extension ProtocolError.Value {
    fileprivate var isTrue: Bool {
        switch self {
        case .boolean(let boolean): boolean
        case .json(let text): text == JSONText(alreadyValid: Array("true".utf8))
        case .string, .integer: false
        }
    }
}

extension ErrorValue {
    /// A string without its quotes, other JSON as it is.
    fileprivate var text: String {
        let bytes = self.json.utf8
        guard let value = try? JSONScanner(maximumDepth: 128).scan(bytes.span.bytes), let string = value.string else {
            return self.json.description
        }
        return string.string(in: bytes.span.bytes)
    }
}
