internal import Foundation
internal import LinkspanClient
internal import Logging
internal import Testing

@testable internal import LinkspanCommand

/// What one event or message becomes on its line.
struct LineTests {
    private let event = LogLine(
        time: "2026-11-21T03:04:05.678Z", level: .warning, message: "Upstream lost",
        fields: [("bridge.name", "plant"), ("error.message", "a \"b\"\nc=d"), ("empty", "")])

    @Test func `people read a clock, a level and fields`() {
        #expect(
            self.event.text(.human)
                == #"03:04:05.678 warning  Upstream lost  bridge.name=plant  error.message="a \"b\"\nc=d"  empty="""#)
    }

    @Test func `logfmt quotes what could be taken for something else`() {
        #expect(
            self.event.text(.logfmt)
                == #"time=2026-11-21T03:04:05.678Z level=warning msg="Upstream lost" bridge.name=plant error.message="a \"b\"\nc=d" empty="""#
        )
    }

    @Test func `JSON is one object`() throws {
        let object = try JSONSerialization.jsonObject(with: Data(self.event.text(.json).utf8)) as? [String: String]
        #expect(
            object == [
                "time": "2026-11-21T03:04:05.678Z", "level": "warning", "msg": "Upstream lost", "bridge.name": "plant",
                "error.message": "a \"b\"\nc=d", "empty": "",
            ])
    }

    @Test func `no value can begin a line of its own`() {
        let event = LogLine(
            time: "2026-11-21T03:04:05.678Z", level: .info, message: "a\nb", fields: [("k", "\r\n\u{1B}[31m")])
        for format in LogFormat.allCases {
            #expect(!event.text(format).unicodeScalars.contains { $0.value < 0x20 })
        }
    }

    @Test(arguments: [
        (MessagePrinter.Form.data, "[1,  \"a\\nb\"]\n"), (.labelled, "news\t[1,  \"a\\nb\"]\n"),
        (.object, "{\"channel\":\"news\",\"data\":[1,  \"a\\nb\"]}\n"),
    ])
    func `a message is one line, its data untouched but for line breaks`(_ form: MessagePrinter.Form, _ line: String) {
        let message = ChannelMessage(channel: "news", data: Array("[1,\n \"a\\nb\"]".utf8))
        #expect(String(decoding: MessagePrinter.line(message, form), as: UTF8.self) == line)
    }

    @Test func `a message without data has none in its line`() {
        let message = ChannelMessage(channel: "news", data: nil)
        #expect(String(decoding: MessagePrinter.line(message, .data), as: UTF8.self) == "\n")
        #expect(String(decoding: MessagePrinter.line(message, .object), as: UTF8.self) == "{\"channel\":\"news\"}\n")
    }
}
