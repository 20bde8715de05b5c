import LinkspanCore
import LinkspanWire
import NIOCore

/// Talks to a ``ConnectionStateMachine`` in the words of the wire, and writes down what it does about them.
struct ConnectionConversation {
    var machine: ConnectionStateMachine
    let rules: ConnectionRules
    var now = NIODeadline.uptimeNanoseconds(1_000_000_000)
    var subscriptions: Set<String> = []
    /// What tokens are worth to the application.
    var verdict = TokenVerdict.accepted
    /// Why the application wants no connection with this client; nil when it does.
    var handshakeBlock: ProtocolError?

    init(_ choice: ProtocolChoice, _ change: (inout ServerSettings) -> Void = { _ in }) {
        var settings = ServerSettings()
        settings.protocolChoice = choice
        change(&settings)
        self.rules = ConnectionRules(settings: settings)
        var zeros = Zeros()
        self.machine = ConnectionStateMachine(
            socketID: SocketID(counter: 1, using: &zeros), openedAt: self.now, rules: self.rules)
    }

    /// After its handshake.
    static func opened(
        _ choice: ProtocolChoice, _ change: (inout ServerSettings) -> Void = { _ in }
    ) -> ConnectionConversation {
        var conversation = ConnectionConversation(choice, change)
        _ = conversation.hears(##"{"event":"#handshake","data":{"authToken":null},"cid":1}"##)
        return conversation
    }

    /// After its handshake and a pong of protocol 1, on a listener for both.
    static func turnedOutToSpeak(_ pong: String) -> ConnectionConversation {
        var conversation = ConnectionConversation.opened(.auto)
        _ = conversation.hears(pong)
        return conversation
    }

    /// What the server does about one message: texts that it sends as they are, everything else in a few words.
    mutating func hears(_ text: String) -> [String] {
        let bytes = Array(text.utf8)
        let span = bytes.span.bytes
        let decoder = ClientDecoder()
        switch decoder.decode(span) {
        case .pong(let dialect):
            return self.told(self.machine.pongReceived(dialect, at: self.now, rules: self.rules), text)
        case .packet(let packet):
            let action = self.machine.packetReceived(packet, in: span, at: self.now, rules: self.rules)
            return self.told(action, text)
        case .batch(var batch):
            var said = self.told(self.machine.batchReceived(rules: self.rules), text)
            while let packet = decoder.next(&batch, in: span) {
                let action = self.machine.packetReceived(packet, in: span, at: self.now, rules: self.rules)
                said += self.told(action, text)
            }
            return said
        }
    }

    /// What the server does when this much time has passed.
    mutating func waits(_ time: TimeAmount, isReadingPaused: Bool = false) -> [String] {
        self.now = self.now + time
        switch self.machine.timePassed(at: self.now, rules: self.rules, isReadingPaused: isReadingPaused) {
        case .nothing: return []
        case .ping(.both): return ["ping in both"]
        case .ping(.only(let dialect)): return ["ping in \(dialect)"]
        case .handshakeTimedOut: return self.closes(.handshakeTimedOut)
        case .pongTimedOut: return self.closes(.pongTimedOut)
        case .closeTimedOut: return ["cut"]
        }
    }

    mutating func closes(_ code: CloseCode) -> [String] {
        let announcement = self.machine.closeBegan(code, at: self.now, rules: self.rules)
        return (announcement.map { [self.encoded($0)] } ?? []) + ["close \(code.rawValue)"]
    }

    private mutating func told(_ action: ConnectionAction, _ text: String) -> [String] {
        let bytes = Array(text.utf8)
        let span = bytes.span.bytes
        func part(_ range: Range<Int>?) -> String {
            range.map { " " + String(decoding: bytes[$0], as: UTF8.self) } ?? ""
        }
        func success(_ callID: CallID?) -> [String] { callID.map { [self.encoded(.success($0))] } ?? [] }
        switch action {
        case .nothing: return []
        case .publish(let channel, let data, let callID):
            return ["publish \(channel.string(in: span))\(part(data))"] + success(callID)
        case .subscribe(let channel, _, let callID, _):
            let name = channel.string(in: span)
            let isNew = self.subscriptions.insert(name).inserted
            self.machine.subscribed(isNew: isNew)
            return ["subscribe \(name)"] + success(callID)
        case .unsubscribe(let channel, let callID):
            let name = channel.string(in: span)
            let existed = self.subscriptions.remove(name) != nil
            let answer = self.machine.unsubscribed(existed: existed, channel: channel, callID: callID, in: span)
            return (existed ? ["unsubscribe \(name)"] : []) + self.told(answer, text)
        case .judgeToken(let token, let purpose):
            return self.judged(token.map { part($0.range) }, purpose, text)
        case .deauthenticate: return ["deauthenticate"]
        case .answer(let packet): return [self.encoded(packet)]
        case .answerTwice(let first, let second): return [self.encoded(first), self.encoded(second)]
        case .event(let name, let data, let callID):
            return ["event \(name.string(in: span))\(part(data))\(callID.map { " call \($0)" } ?? "")"]
        case .response(let callID, let data, let error):
            return ["response \(callID)\(part(data))\(part(error))"]
        case .close(let code): return self.closes(code)
        case .answerAndClose(let packet, let code): return [self.encoded(packet)] + self.closes(code)
        }
    }

    private mutating func judged(_ token: String?, _ purpose: TokenPurpose, _ text: String) -> [String] {
        var verdict = self.verdict
        var said = ["judge\(token ?? "")"]
        if case .handshake(let callID) = purpose {
            if token == nil { (verdict, said) = (.absent, []) }
            if let error = self.handshakeBlock, self.machine.admits(verdict, rules: self.rules) {
                return said + self.told(self.machine.handshakeBlocked(error, callID: callID), text)
            }
        }
        return said + self.told(self.machine.tokenJudged(verdict, for: purpose, rules: self.rules), text)
    }

    private func encoded(_ packet: PacketToClient) -> String {
        var text: [UInt8] = []
        packet.encode(dialect: self.machine.dialect, into: &text)
        return String(decoding: text, as: UTF8.self)
    }
}

private struct Zeros: RandomNumberGenerator {
    func next() -> UInt64 { 0 }
}
