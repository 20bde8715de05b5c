internal import LinkspanClient
internal import LinkspanWire
internal import Synchronization

/// Prints messages to standard output, one line each, until enough are printed.
final class MessagePrinter: Sendable {
    enum Form: Sendable {
        case data
        /// The channel and a tab first.
        case labelled
        /// `{"channel":..,"data":..}`
        case object
    }

    enum State: Hashable {
        case more, finished
    }

    private let form: Form
    private let left: Mutex<Int?>

    init(form: Form, limit: Int?) {
        self.form = form
        self.left = Mutex(limit)
    }

    /// Finished also when nobody reads the output any more.
    func print(_ message: ChannelMessage) -> State {
        self.left.withLock { left in
            guard left != 0 else { return .finished }
            do throws(Terminal.OutputClosed) {
                try Terminal.writeOutput(Self.line(message, self.form))
            } catch {
                left = 0
            }
            if let count = left, count > 0 { left = count - 1 }
            return left == 0 ? .finished : .more
        }
    }

    /// The data byte for byte, except that line breaks between its parts become spaces: a message is one line.
    static func line(_ message: ChannelMessage, _ form: Form) -> [UInt8] {
        var line: [UInt8] = []
        switch form {
        case .data:
            line += message.data ?? []
        case .labelled:
            line += Array(Self.label(message.channel).utf8) + [UInt8(ascii: "\t")]
            line += message.data ?? []
        case .object:
            line.put("{\"channel\":")
            line.putJSONString(message.channel)
            if let data = message.data {
                line.put(",\"data\":")
                line += data
            }
            line.put("}")
        }
        // JSON has raw line breaks only outside of strings.
        for index in line.indices where line[index] == UInt8(ascii: "\n") || line[index] == UInt8(ascii: "\r") {
            line[index] = UInt8(ascii: " ")
        }
        return line + [UInt8(ascii: "\n")]
    }

    /// A channel whose name could be taken for something else is written as JSON.
    private static func label(_ channel: String) -> String {
        let isPlain =
            !channel.isEmpty && channel.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F }
            && !channel.hasPrefix("\"")
        guard !isPlain else { return channel }
        var bytes: [UInt8] = []
        bytes.putJSONString(channel)
        return String(decoding: bytes, as: UTF8.self)
    }
}
