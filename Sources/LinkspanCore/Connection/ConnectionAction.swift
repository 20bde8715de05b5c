public import LinkspanWire

/// What a connection has to do about what happened to it. Slices and ranges point into the text that was received.
public enum ConnectionAction: Sendable, Hashable {
    case nothing
    /// Hand the publish to the owner of its channel, then answer success if there is a call ID.
    case publish(channel: StringSlice, data: Range<Int>?, callID: CallID?)
    /// Make the subscription, tell ``ConnectionStateMachine/subscribed(isNew:)``, then answer success if there is a call ID.
    case subscribe(channel: StringSlice, data: Range<Int>?, callID: CallID?)
    /// End the subscription, then tell ``ConnectionStateMachine/unsubscribed(existed:channel:callID:in:)``, which has the answer.
    case unsubscribe(channel: StringSlice, callID: CallID?)
    /// Judge the token (any JSON value; nil when the client sent none where one was due), then tell
    /// ``ConnectionStateMachine/tokenJudged(_:for:)``, which has the answer.
    case judgeToken(JSONValue?, for: TokenPurpose)
    /// Forget who the client said it was.
    case deauthenticate
    case answer(PacketToClient)
    case answerTwice(PacketToClient, PacketToClient)
    /// For the application: a transmit, or an invoke when there is a call ID.
    case event(name: StringSlice, data: Range<Int>?, callID: CallID?)
    /// The answer to a call of ours.
    case response(callID: CallID, data: Range<Int>?, error: Range<Int>?)
    case close(CloseCode)
    /// As `close`, after this last answer.
    case answerAndClose(PacketToClient, CloseCode)
}

/// What a token is for, and how it is answered.
public enum TokenPurpose: Sendable, Hashable {
    case handshake(callID: CallID?)
    case authenticate(callID: CallID?)
}

/// What became of a token.
public enum TokenVerdict: Sendable, Hashable {
    /// None was sent, which is no error in a handshake.
    case absent
    case accepted
    /// - Parameter isBad: the client should forget it.
    case failed(ProtocolError, isBad: Bool)
}
