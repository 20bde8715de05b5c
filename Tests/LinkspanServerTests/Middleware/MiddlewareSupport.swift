import LinkspanCore
import LinkspanServer
import LinkspanWire
import NIOCore
import TestSupport

/// What the tests of the four lines of middleware share.
enum TestMiddleware {
    /// An error whose words clients never see.
    struct Secret: Error {}

    static let denied = ProtocolError(name: "Denied", message: "not you")
    static let deniedText = #"{"message":"not you","name":"Denied"}"#
}

func withMiddleware(
    _ protocolChoice: ProtocolChoice = .v2, _ configure: (inout Application) -> Void,
    change: (inout ServerSettings) -> Void = { _ in },
    _ body: (LinkspanServer, SocketAddress) async throws -> Void
) async throws {
    try await withServer(
        application: Application(configure),
        { settings in
            settings.auth = TestTokens.settings
            settings.protocolChoice = protocolChoice
            change(&settings)
        }, body)
}
