public import LinkspanBridgeKit
internal import LinkspanWire
public import NIOCore

/// A request for repair, or an answer to one, on its way between instances.
///
/// `{"from":"ams-1","to":"fra-1","wants":[{"channel":"news","origin":"fra-1","epoch":1,"ranges":[[3,5],[9,9]]}]}` asks, and
/// `{"from":"fra-1","messages":[{"channel":"news","origin":"fra-1","epoch":1,"seq":3,"hops":["fra-1"],"at":1,"data":{}}]}` answers; `data` is absent
/// when the publish had none.
public enum RepairMessage: Sendable, Hashable {
    case request(RepairRequest)
    case answer(sender: InstanceID, [RepairedMessage])

    /// Most messages in one answer; a longer one is not believed.
    public static let messageLimit = 1024

    /// Bytes after which an answer is ended and another one begun.
    public static let answerBytes = 64 << 10

    /// Nil when `json` is no such message.
    public init?(_ json: ByteBuffer) {
        var root: JSONValue?
        guard let text = ControlText(json, root: { root = $0 }) else { return nil }
        let members = text.members(of: root)
        guard let sender = text.instance(members["from"]) else { return nil }
        if let answers = text.elements(of: members["messages"], limit: Self.messageLimit) {
            self = .answer(sender: sender, answers.compactMap { text.repairedMessage($0) })
        } else if let asked = text.instance(members["to"]),
            let wants = text.elements(of: members["wants"], limit: RepairRequest.wantLimit)
        {
            self = .request(
                RepairRequest(requester: sender, sender: asked, wants: wants.compactMap { text.want($0) }))
        } else {
            return nil
        }
    }

    /// The JSON of a request.
    public static func json(_ request: RepairRequest) -> ByteBuffer {
        var json = ByteBuffer()
        json.put("{\"from\":\"")
        json.put(verbatim: request.requester.string)
        json.put("\",\"to\":\"")
        json.put(verbatim: request.sender.string)
        json.put("\",\"wants\":[")
        for (index, want) in request.wants.enumerated() {
            json.put(index == 0 ? "{" : ",{")
            json.putStream(want.channel, want.instance, want.epoch)
            json.put(",\"ranges\":[")
            for (index, range) in want.ranges.enumerated() {
                json.put(index == 0 ? "[" : ",[")
                json.put(number: range.lowerBound)
                json.put(",")
                json.put(number: range.upperBound)
                json.put("]")
            }
            json.put("]}")
        }
        json.put("]}")
        return json
    }

    /// The JSON of answers with these messages, in order, each of about ``answerBytes`` or one message.
    public static func json(sender: InstanceID, _ messages: [RepairedMessage]) -> [ByteBuffer] {
        var answers: [ByteBuffer] = []
        var json = ByteBuffer()
        var count = 0
        for message in messages {
            if count == 0 {
                json.put("{\"from\":\"")
                json.put(verbatim: sender.string)
                json.put("\",\"messages\":[{")
            } else {
                json.put(",{")
            }
            json.put(message)
            count += 1
            guard json.readableBytes >= Self.answerBytes || count == Self.messageLimit else { continue }
            json.put("]}")
            answers.append(json)
            json = ByteBuffer()
            count = 0
        }
        guard count > 0 else { return answers }
        json.put("]}")
        return answers + [json]
    }
}

extension ByteBuffer {
    fileprivate mutating func put(_ message: RepairedMessage) {
        self.putStream(message.channel, message.header.origin.instance, message.header.origin.epoch)
        self.put(",\"seq\":")
        self.put(number: message.header.origin.sequence)
        self.put(",\"hops\":[")
        for (index, hop) in message.header.hops.enumerated() {
            self.put(index == 0 ? "\"" : ",\"")
            self.put(verbatim: hop.string)
            self.put("\"")
        }
        self.put("],\"at\":")
        self.put(number: message.header.acceptedAt)
        if message.data.readableBytes > 0 {
            self.put(",\"data\":")
            self.writeImmutableBuffer(message.data)
        }
        self.put("}")
    }
}

extension ControlText {
    fileprivate func want(_ value: JSONValue) -> RepairRequest.Want? {
        let members = self.members(of: value)
        guard let channel = self.string(members["channel"]), let instance = self.instance(members["origin"]),
            let epoch = self.number(members["epoch"]),
            let ranges = self.elements(of: members["ranges"], limit: RepairRequest.rangeLimit)
        else { return nil }
        return RepairRequest.Want(
            channel: ChannelName(channel), instance: instance, epoch: epoch,
            ranges: ranges.compactMap { range in
                guard let ends = self.elements(of: range, limit: 2), ends.count == 2,
                    let lower = self.number(ends[0]), let upper = self.number(ends[1]), 0 < lower, lower <= upper
                else { return nil }
                return lower...upper
            })
    }

    fileprivate func repairedMessage(_ value: JSONValue) -> RepairedMessage? {
        let members = self.members(of: value)
        guard let channel = self.string(members["channel"]), let instance = self.instance(members["origin"]),
            let epoch = self.number(members["epoch"]), let sequence = self.number(members["seq"]), sequence > 0,
            let acceptedAt = self.number(members["at"]),
            let hops = self.elements(of: members["hops"], limit: EnvelopeCodec.hopLimit)?.map({ self.instance($0) }),
            hops.allSatisfy({ $0 != nil })
        else { return nil }
        return RepairedMessage(
            channel: ChannelName(channel),
            header: EnvelopeHeader(
                origin: Origin(instance: instance, epoch: epoch, sequence: sequence), hops: hops.compactMap(\.self),
                acceptedAt: acceptedAt),
            data: self.slice(members["data"]) ?? ByteBuffer())
    }
}
