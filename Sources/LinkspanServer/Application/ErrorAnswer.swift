internal import LinkspanCore
internal import LinkspanWire

/// Errors of applications on their way to clients, and errors of clients on their way to applications.
enum ErrorAnswer {
    static func packet(for error: any Error, callID: CallID) -> PacketToClient {
        switch error {
        case let error as ProtocolError: .failure(callID, error)
        case let error as ErrorValue: .failureValue(callID, error.json)
        case is CancellationError: .failure(callID, Self.stopped)
        default: .failure(callID, Self.unspecified)
        }
    }

    /// Stands for errors that were not made for clients: their text may hold what is not theirs to know.
    private static let unspecified = ProtocolError(
        name: "ApplicationError", message: "The server failed to carry out the call")
    private static let stopped = ProtocolError(name: "ApplicationError", message: "The server gave up the call")

    /// What a client answered a call with.
    /// - Parameter text: valid JSON.
    static func error(from text: [UInt8]) -> any Error {
        let json = JSONText(alreadyValid: text)
        guard let claims = TokenClaims(json: text), claims.isObject, let message = claims.string("message") else {
            return ErrorValue(json)
        }
        var error = ProtocolError(name: claims.string("name") ?? "Error", message: message)
        for (key, value) in claims.members where key != "message" && key != "name" {
            error.fields.append(ProtocolError.Field(key, .json(value)))
        }
        return error
    }
}
