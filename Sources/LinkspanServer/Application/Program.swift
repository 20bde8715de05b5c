internal import LinkspanBridgeKit
internal import LinkspanCore

/// By what a loop decides about what clients call and want: the permissions, the program itself and the services of its hooks. Replaced as a whole when
/// permissions or hooks change.
///
/// What subscribers are sent is never a hook's affair: ``ServerContext/outbound``.
final class Program: Sendable {
    /// Nil for a server that only routes publishes.
    let application: Application?
    let middleware: MiddlewareGate
    let permissions: Permissions
    /// Whether clients have to be asked about at all.
    let hasPermissions: Bool
    /// Whether a publish, or a subscription, of a client is anybody's decision.
    let checksPublishes: Bool
    let checksSubscriptions: Bool

    init(_ application: Application?, permissions: Permissions) {
        let middleware = MiddlewareGate(application?.middleware ?? Middleware())
        self.application = application
        self.middleware = middleware
        self.permissions = permissions
        self.hasPermissions = !permissions.isEmpty
        self.checksPublishes = !permissions.isEmpty || middleware.asksPublish
        self.checksSubscriptions = !permissions.isEmpty || middleware.asksSubscribe
    }
}
