import LinkspanWire

/// Packets in words, their ranges replaced by the text that they point at.
struct DecodedText {
    let text: [UInt8]

    init(_ text: [UInt8]) {
        self.text = text
    }

    init(_ text: String) {
        self.text = Array(text.utf8)
    }

    /// What a server makes of the text: one line, or one for each packet of a batch.
    func fromClient(_ decoder: ClientDecoder = ClientDecoder()) -> [String] {
        self.clientPackets(decoder).map { self.describe($0) }
    }

    func clientPackets(_ decoder: ClientDecoder = ClientDecoder()) -> [ClientPacketOrPong] {
        switch decoder.decode(self.text.span.bytes) {
        case .pong(let dialect): return [.pong(dialect)]
        case .packet(let packet): return [.packet(packet)]
        case .batch(var batch):
            var packets: [ClientPacketOrPong] = []
            while let packet = decoder.next(&batch, in: self.text.span.bytes) { packets.append(.packet(packet)) }
            return packets
        }
    }

    func describe(_ input: ClientPacketOrPong) -> String {
        switch input {
        case .pong(let dialect): "pong \(dialect)"
        case .packet(let packet): self.describe(packet)
        }
    }

    func describe(_ packet: ClientPacket) -> String {
        switch packet {
        case .handshake(let token, let callID): "handshake token=\(self.value(token)) cid=\(self.id(callID))"
        case .authenticate(let token, let callID): "authenticate token=\(self.value(token)) cid=\(self.id(callID))"
        case .removeAuthToken: "removeAuthToken"
        case .subscribe(let request):
            "subscribe \(self.name(request.channel)) data=\(self.range(request.data)) cid=\(self.id(request.callID))"
                + (request.waitForAuth ? " waitForAuth" : "") + (request.wantsBatch ? " batch" : "")
                + (request.isBareString ? " bare" : "")
        case .unsubscribe(let channel, let callID): "unsubscribe \(self.name(channel)) cid=\(self.id(callID))"
        case .publish(let channel, let data, let callID):
            "publish \(self.name(channel)) data=\(self.range(data)) cid=\(self.id(callID))"
        case .disconnect(let code, let data): "disconnect code=\(code.map(String.init) ?? "-") data=\(self.range(data))"
        case .event(let name, let data, let callID):
            "event \(self.string(name)) data=\(self.range(data)) cid=\(self.id(callID))"
        case .response(let callID, let data, let error):
            "response rid=\(callID) data=\(self.range(data)) error=\(self.range(error))"
        case .raw(let reason): "raw \(reason)"
        }
    }

    /// What a client makes of the text.
    func fromServer(_ decoder: ServerDecoder = ServerDecoder()) -> [String] {
        switch decoder.decode(self.text.span.bytes) {
        case .ping(let dialect): return ["ping \(dialect)"]
        case .packet(let packet): return [self.describe(packet)]
        case .batch(var batch):
            var lines: [String] = []
            while let packet = decoder.next(&batch, in: self.text.span.bytes) { lines.append(self.describe(packet)) }
            return lines
        }
    }

    func describe(_ packet: ServerPacket) -> String {
        switch packet {
        case .response(let callID, let data, let error):
            "response rid=\(callID) data=\(self.value(data)) error=\(self.value(error))"
        case .publish(let channel, let data): "publish \(self.name(channel)) data=\(self.range(data))"
        case .kickOut(let channel, let message):
            "kickOut \(self.name(channel)) message=\(message.map { self.string($0) } ?? "-")"
        case .setAuthToken(let token, let callID):
            "setAuthToken \(token.map { self.string($0) } ?? "-") cid=\(self.id(callID))"
        case .removeAuthToken(let callID): "removeAuthToken cid=\(self.id(callID))"
        case .disconnect(let code, let data): "disconnect code=\(code.map(String.init) ?? "-") data=\(self.range(data))"
        case .event(let name, let data, let callID):
            "event \(self.string(name)) data=\(self.range(data)) cid=\(self.id(callID))"
        case .raw(let reason): "raw \(reason)"
        }
    }

    func string(_ slice: StringSlice) -> String {
        slice.string(in: self.text.span.bytes)
    }

    func range(_ range: Range<Int>?) -> String {
        range.map { String(decoding: self.text[$0], as: UTF8.self) } ?? "-"
    }

    private func value(_ value: JSONValue?) -> String {
        self.range(value?.range)
    }

    private func name(_ field: NameField) -> String {
        switch field {
        case .name(let slice): "channel=\(self.string(slice))"
        case .missing: "channel missing"
        case .malformed(let value): "channel malformed \(self.range(value.range))"
        }
    }

    private func id(_ callID: CallID?) -> String {
        callID.map { "\($0)" } ?? "-"
    }
}

enum ClientPacketOrPong {
    case pong(Dialect)
    case packet(ClientPacket)
}
