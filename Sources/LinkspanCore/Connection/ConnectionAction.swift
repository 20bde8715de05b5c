public import LinkspanWire

/// What a connection has to do about what happened to it. Slices and ranges point into the text that was received.
public enum ConnectionAction: Sendable, Hashable {
    case nothing
    /// Hand the publish to the owner of its channel, then answer success if there is a call ID.
    case publish(channel: StringSlice, data: Range<Int>?, callID: CallID?)
    /// Make the subscription, tell ``ConnectionStateMachine/subscribed(isNew:)``, then answer success if there is a call ID.
    /// - Parameter joinsAnswer: the client asked for the answers to several subscriptions in one array.
    case subscribe(channel: StringSlice, data: Range<Int>?, callID: CallID?, joinsAnswer: Bool)
    /// End the subscription, then tell ``ConnectionStateMachine/unsubscribed(existed:channel:callID:in:)``, which has the answer.
    case unsubscribe(channel: StringSlice, callID: CallID?)
    /// Judge the token (any JSON value; nil when the client sent none, which in a handshake is no error), then tell
    /// ``ConnectionStateMachine/tokenJudged(_:for:rules:)``, which has the answer. Of a handshake that the application does not want tell
    /// ``ConnectionStateMachine/handshakeBlocked(_:callID:)`` instead.
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

    public var callID: CallID? {
        switch self {
        case .handshake(let callID), .authenticate(let callID): callID
        }
    }
}

/// What became of a token.
public enum TokenVerdict: Sendable, Hashable {
    /// None was sent, which is no error in a handshake.
    case absent
    case accepted
    /// - Parameter isBad: the client should forget it.
    case failed(ProtocolError, isBad: Bool)
}

extension ConnectionAction {
    /// The call that gets the answer of a request.
    public var callID: CallID? {
        switch self {
        case .publish(_, _, let callID), .subscribe(_, _, let callID, _), .unsubscribe(_, let callID),
            .event(_, _, let callID):
            callID
        case .judgeToken(_, let purpose): purpose.callID
        case .nothing, .deauthenticate, .answer, .answerTwice, .response, .close, .answerAndClose: nil
        }
    }

    /// The same request with other data, and the text that it then points into.
    /// - Parameters:
    ///   - data: valid JSON; nil for a request without.
    ///   - text: what this one points into.
    public func replacing(data: [UInt8]?, in text: UnsafeRawBufferPointer) -> (action: ConnectionAction, text: [UInt8])
    {
        switch self {
        case .publish(let channel, _, let callID):
            let (name, range, text) = Self.join(channel, data, in: text)
            return (.publish(channel: name, data: range, callID: callID), text)
        case .subscribe(let channel, _, let callID, let joinsAnswer):
            let (name, range, text) = Self.join(channel, data, in: text)
            return (.subscribe(channel: name, data: range, callID: callID, joinsAnswer: joinsAnswer), text)
        case .event(let event, _, let callID):
            let (name, range, text) = Self.join(event, data, in: text)
            return (.event(name: name, data: range, callID: callID), text)
        case .nothing, .unsubscribe, .judgeToken, .deauthenticate, .answer, .answerTwice, .response, .close,
            .answerAndClose:
            return (self, Array(text))
        }
    }

    private static func join(
        _ name: StringSlice, _ data: [UInt8]?, in text: UnsafeRawBufferPointer
    ) -> (StringSlice, Range<Int>?, [UInt8]) {
        let bytes = Array(text[name.range])
        let slice = StringSlice(range: 0..<bytes.count, hasEscapes: name.hasEscapes)
        guard let data else { return (slice, nil, bytes) }
        return (slice, bytes.count..<bytes.count + data.count, bytes + data)
    }
}
