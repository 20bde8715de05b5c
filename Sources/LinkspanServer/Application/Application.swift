public import LinkspanCore
public import LinkspanWire

/// What a program adds to a server: procedures and receivers that clients reach by name, middleware that decides about what they want, and an
/// ear for what happens to connections.
///
/// ```swift
/// let application = Application { app in
///     app.procedure("login") { call in
///         guard let name = accounts.check(call.data) else { throw ProtocolError(name: "AuthError", message: "Who?") }
///         try await call.socket.setAuthToken(TokenClaims(["username": name]))
///         return nil
///     }
///     app.receiver("typing") { event in typing.note(event.socket.id) }
/// }
/// let server = LinkspanServer(settings: settings, instance: id, application: application, logger: logger)
/// ```
/// A value: complete before the server is made. Its closures run on the concurrent executor, those for one name and one connection one after
/// the other, in the order in which the client sent.
public struct Application: Sendable {
    public typealias Procedure = @Sendable (ProcedureCall) async throws -> JSONText?
    public typealias Receiver = @Sendable (ReceivedEvent) async -> Void

    /// Calls and events of one connection that may wait or be under way; past it the connection is not read.
    public var workLimit = 64
    /// Told every connection event, at once and on the loop of the connection: it must not block. See also
    /// ``LinkspanServer/connectionEvents(bufferLimit:)``.
    public var onConnectionEvent: (@Sendable (ConnectionEvent) -> Void)?

    /// What it has to say about what clients want. Nobody is asked by default.
    public var middleware = Middleware()

    private var procedures: [String: Procedure] = [:]
    private var receivers: [String: Receiver] = [:]
    private var patterns: [(names: Glob, body: Procedure)] = []

    public init(_ configure: (inout Application) -> Void = { _ in }) {
        configure(&self)
    }

    /// Serves calls of `name`: what `body` returns is the data of the answer, what it throws its error.
    ///
    /// A ``ProtocolError`` is sent with all its fields, an ``ErrorValue`` as the value that it is, any other error without its text, which may
    /// hold secrets. A client of protocol 1 reaches procedures without a call ID too; it gets no answer then.
    public mutating func procedure(_ name: String, _ body: @escaping Procedure) {
        self.procedures[name] = body
    }

    /// Serves calls of every name that `names` matches and that has no procedure of its own; the first pattern that matches serves.
    public mutating func procedures(matching names: Glob, _ body: @escaping Procedure) {
        self.patterns.append((names, body))
    }

    /// Takes events of `name`. A client of protocol 1 reaches receivers with a call ID too, and is left without an answer, as by release 14.
    public mutating func receiver(_ name: String, _ body: @escaping Receiver) {
        self.receivers[name] = body
    }

    enum Handler {
        case procedure(Procedure)
        case receiver(Receiver)
    }

    /// - Parameter admitsBoth: whether the client may speak protocol 1, which does not tell procedures and receivers apart.
    func handler(of name: String, isCall: Bool, admitsBoth: Bool) -> Handler? {
        let procedure = isCall || admitsBoth ? self.procedure(named: name).map(Handler.procedure) : nil
        let receiver = !isCall || admitsBoth ? self.receivers[name].map(Handler.receiver) : nil
        return isCall ? procedure ?? receiver : receiver ?? procedure
    }

    private func procedure(named name: String) -> Procedure? {
        self.procedures[name] ?? self.patterns.first { $0.names.matches(name) }?.body
    }
}

/// A client calls a procedure.
public struct ProcedureCall: Sendable {
    /// Whoever calls. A token that is set through this value is written right before the answer, in the same write.
    public let socket: ClientSocket
    public let name: String
    /// Nil when the client sent none, which is not the same as `null`.
    public let data: JSONText?
    /// False when a client of protocol 1 expects no answer.
    public let wantsAnswer: Bool
}

/// A client sent an event that it expects no answer to.
public struct ReceivedEvent: Sendable {
    public let socket: ClientSocket
    public let name: String
    /// Nil when the client sent none, which is not the same as `null`.
    public let data: JSONText?
}

/// An error that is no object: sent, and received, as the JSON value that it is.
public struct ErrorValue: Error, Sendable, Hashable {
    public var json: JSONText

    public init(_ json: JSONText) {
        self.json = json
    }

    /// A plain string, as `throw 'reason'` sends in JavaScript.
    public init(_ text: String) {
        self.json = JSONText(string: text)
    }
}
