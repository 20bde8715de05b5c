import LinkspanWire

/// The smallest server that can hold a conversation: it decodes what comes, and answers by section and verse of the
/// protocol.
///
/// No part of the product and no model of it; it lets transcripts show decoder and encoder together, as a client would
/// see them.
struct CodecPeer {
    static let socketID = "OXZ0v2yHnQZ0AAAA"
    static let channelLimit = 2

    let dialect: Dialect
    let codec: MinBinCodec?
    private var channels: [String] = []
    private var isOpen = false
    private var nextCallID: Int64 = 0

    init(dialect: Dialect, codec: MinBinCodec? = nil) {
        self.dialect = dialect
        self.codec = codec
    }

    struct Answer {
        var decoded: [String] = []
        var packets: [PacketToClient] = []
        var close: CloseCode?
    }

    mutating func receive(_ message: [UInt8]) -> Answer {
        var text = message
        if let codec = self.codec {
            text = []
            do throws(MinBinError) {
                try codec.decode(message.span.bytes, into: &text)
            } catch {
                return Answer(decoded: ["min-bin \(error)"])
            }
        }
        let decoded = DecodedText(text)
        var answer = Answer()
        for input in decoded.clientPackets() where answer.close == nil {
            answer.decoded.append(decoded.describe(input))
            self.answer(input, decoded, &answer)
        }
        return answer
    }

    /// What the application behind the server tells it to say.
    mutating func command(_ line: String) throws -> PacketToClient {
        let words = line.split(separator: " ", maxSplits: 2).map(String.init)
        let name = words.count > 1 ? words[1] : ""
        let rest = words.count > 2 ? words[2] : nil
        if words.first == "kickOut" {
            self.channels.removeAll { $0 == name }
            return .kickOut(channel: name, message: rest)
        }
        let data = try rest.map { try JSONText(validating: $0) }
        switch words.first {
        case "ping": return .ping
        case "publish": return .publish(channel: name, data: data)
        case "transmit": return .event(name: name, data: data, callID: nil)
        case "call":
            self.nextCallID += 1
            return .event(name: name, data: data, callID: self.nextCallID)
        case "setAuthToken": return .setAuthToken(name, callID: nil)
        case "removeAuthToken": return .removeAuthToken(callID: nil)
        case "disconnect": return .disconnect(code: CloseCode(rawValue: UInt16(name) ?? 1000), data: data)
        default: throw UnknownCommand(line: line)
        }
    }

    struct UnknownCommand: Error {
        var line: String
    }

    private mutating func answer(_ input: ClientPacketOrPong, _ text: DecodedText, _ answer: inout Answer) {
        guard case .packet(let packet) = input else {
            if !self.isOpen { answer.close = .messageBeforeHandshake }
            return
        }
        if case .handshake(let token, let callID) = packet {
            self.handshake(token, callID, &answer)
        } else if self.isOpen {
            self.answer(packet, text, &answer)
        } else {
            answer.close = .messageBeforeHandshake
        }
    }

    private mutating func handshake(_ token: JSONValue?, _ callID: CallID?, _ answer: inout Answer) {
        guard self.dialect == .v1 || callID?.isNumber == true else {
            answer.close = .handshakeRejected
            return
        }
        self.isOpen = true
        let authError = token.map { _ in ProtocolError.tokenInvalid(.malformed, dialect: self.dialect) }
        let status = HandshakeStatus(
            id: Self.socketID, pingTimeout: .seconds(20), isAuthenticated: false, authError: authError)
        if let callID { answer.packets.append(.handshakeAccepted(status, callID: callID)) }
        guard token != nil else { return }
        // v1 withdraws the token before it answers, v2 after.
        answer.packets.insert(.removeAuthToken(callID: nil), at: self.dialect == .v1 ? 0 : answer.packets.count)
    }

    private mutating func answer(_ packet: ClientPacket, _ text: DecodedText, _ answer: inout Answer) {
        switch packet {
        case .subscribe(let request): self.subscribe(request, text, &answer)
        case .unsubscribe(let field, let callID): self.unsubscribe(field, self.answerable(callID), text, &answer)
        case .publish(let field, let data, let callID):
            self.publish(field, data, self.answerable(callID), text, &answer)
        case .authenticate(_, let callID):
            guard let callID = self.answerable(callID) else {
                answer.close = self.dialect == .v2 ? .handshakeRejected : nil
                return
            }
            let error = ProtocolError.tokenInvalid(.malformed, dialect: self.dialect)
            switch self.dialect {
            case .v1:
                let status = AuthenticateStatus(isAuthenticated: false, authError: error, isFailure: true)
                answer.packets += [.removeAuthToken(callID: nil), .authenticated(status, callID: callID)]
            case .v2: answer.packets += [.failure(callID, error), .removeAuthToken(callID: nil)]
            }
        case .event(let name, let data, let callID):
            guard let callID = self.answerable(callID), text.string(name) == "echo" else { return }
            answer.packets.append(.success(callID, data: data.map { JSONText(alreadyValid: Array(text.text[$0])) }))
        case .disconnect(let code, _):
            if self.dialect == .v1 { answer.close = CloseCode(rawValue: UInt16(exactly: code ?? 1000) ?? 1002) }
        case .handshake, .removeAuthToken, .response, .raw: return
        }
    }

    /// v2 answers numbers alone.
    private func answerable(_ callID: CallID?) -> CallID? {
        self.dialect == .v1 || callID?.isNumber == true ? callID : nil
    }

    private mutating func subscribe(_ request: SubscribeRequest, _ text: DecodedText, _ answer: inout Answer) {
        let callID = self.answerable(request.callID)
        guard self.dialect == .v1 || callID != nil else { return }
        let named = JavaScriptText.describe(request.channel, in: text.text.span.bytes)
        let reply: PacketToClient?
        if case .name = request.channel, self.dialect == .v1 || !request.isBareString {
            if self.channels.count >= Self.channelLimit {
                let error = ProtocolError.subscriptionLimit(
                    channel: named, socketID: Self.socketID, limit: Self.channelLimit, dialect: self.dialect)
                reply = callID.map { .failure($0, error) }
            } else {
                if !self.channels.contains(named) { self.channels.append(named) }
                reply = callID.map { .success($0) }
            }
        } else {
            let error = ProtocolError.subscribeMalformed(
                channel: named, socketID: Self.socketID, dialect: self.dialect)
            reply = callID.map { .failure($0, error) }
        }
        if let reply { answer.packets.append(reply) }
    }

    private mutating func unsubscribe(
        _ field: NameField, _ callID: CallID?, _ text: DecodedText, _ answer: inout Answer
    ) {
        let named = JavaScriptText.describe(field, in: text.text.span.bytes)
        var error: ProtocolError?
        if case .name = field {
            if self.channels.contains(named) {
                self.channels.removeAll { $0 == named }
            } else {
                error = .notSubscribed(channel: named, socketID: Self.socketID, dialect: self.dialect)
            }
        } else {
            error = .unsubscribeMalformed(channel: named, socketID: Self.socketID, dialect: self.dialect)
        }
        guard let callID else { return }
        answer.packets.append(error.map { .failure(callID, $0) } ?? .success(callID))
    }

    private func publish(
        _ field: NameField, _ data: Range<Int>?, _ callID: CallID?, _ text: DecodedText, _ answer: inout Answer
    ) {
        let named = JavaScriptText.describe(field, in: text.text.span.bytes)
        guard case .name = field else {
            let error = ProtocolError.publishMalformed(
                channel: named, socketID: Self.socketID, dialect: self.dialect)
            if let callID { answer.packets.append(.failure(callID, error)) }
            return
        }
        if self.channels.contains(named) {
            let json = data.map { JSONText(alreadyValid: Array(text.text[$0])) }
            answer.packets.append(.publish(channel: named, data: json))
        }
        if let callID { answer.packets.append(.success(callID)) }
    }
}
