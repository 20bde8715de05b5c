import LinkspanServer
import LinkspanWire

/// What the tests of the four lines of middleware share.
enum TestMiddleware {
    /// An error whose words clients never see.
    struct Secret: Error {}

    static let denied = ProtocolError(name: "Denied", message: "not you")
    static let deniedText = #"{"message":"not you","name":"Denied"}"#
}
