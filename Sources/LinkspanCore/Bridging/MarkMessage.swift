public import LinkspanBridgeKit
internal import LinkspanWire
public import NIOCore

/// Marks on their way between instances: `{"from":"fra-1","marks":[{"channel":"news","origin":"fra-1","epoch":1,"seq":7}]}`.
public struct MarkMessage: Sendable, Hashable {
    /// Who sent the messages, and this, to the upstream.
    public var sender: InstanceID
    public var marks: [SequenceMark]

    /// Most marks in one message; a longer one is not believed.
    public static let markLimit = 256

    public init(sender: InstanceID, marks: [SequenceMark]) {
        self.sender = sender
        self.marks = marks
    }

    /// Nil when `json` is no such message.
    public init?(_ json: ByteBuffer) {
        var root: JSONValue?
        guard let text = ControlText(json, root: { root = $0 }) else { return nil }
        let members = text.members(of: root)
        guard let sender = text.instance(members["from"]),
            let elements = text.elements(of: members["marks"], limit: Self.markLimit)
        else { return nil }
        self.sender = sender
        self.marks = elements.compactMap { element in
            let mark = text.members(of: element)
            guard let channel = text.string(mark["channel"]), let instance = text.instance(mark["origin"]),
                let epoch = text.number(mark["epoch"]), let sequence = text.number(mark["seq"]), sequence > 0
            else { return nil }
            return SequenceMark(
                channel: ChannelName(channel), origin: Origin(instance: instance, epoch: epoch, sequence: sequence))
        }
    }

    public var json: ByteBuffer {
        var json = ByteBuffer()
        json.put("{\"from\":\"")
        json.put(verbatim: self.sender.string)
        json.put("\",\"marks\":[")
        for (index, mark) in self.marks.enumerated() {
            json.put(index == 0 ? "{" : ",{")
            json.putStream(mark.channel, mark.origin.instance, mark.origin.epoch)
            json.put(",\"seq\":")
            json.put(number: mark.origin.sequence)
            json.put("}")
        }
        json.put("]}")
        return json
    }
}
