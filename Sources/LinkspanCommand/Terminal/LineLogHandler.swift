internal import Foundation
internal import LinkspanCore
internal import LinkspanWire
internal import Logging

/// How log lines look.
enum LogFormat: String, CaseIterable, Sendable {
    /// `12:34:56.789 info   Upstream lost  bridge.name=plant`
    case human
    /// `time=... level=info msg="Upstream lost" bridge.name=plant`
    case logfmt
    /// One JSON object per line.
    case json
}

/// Writes one line per event to standard error.
struct LineLogHandler: LogHandler {
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?
    var logLevel: Logger.Level
    let format: LogFormat

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { self.metadata[key] }
        set { self.metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var metadata = self.metadata
        metadata.merge(self.metadataProvider?.get() ?? [:]) { $1 }
        metadata.merge(event.metadata ?? [:]) { $1 }
        if let error = event.error { metadata["error"] = "\(error)" }
        let line = LogLine(
            time: Self.now(), level: event.level, message: "\(event.message)",
            fields: metadata.sorted { $0.key < $1.key }.map { ($0.key, "\($0.value)") })
        Terminal.printError(line.text(self.format))
    }

    private static func now() -> String {
        CivilTime.text(secondsSince1970: Date().timeIntervalSince1970)
    }
}

/// One event on its way to a line. A value never breaks the line, whatever a peer put into it.
struct LogLine {
    /// RFC 3339, UTC, milliseconds.
    var time: String
    var level: Logger.Level
    var message: String
    var fields: [(key: String, value: String)]

    func text(_ format: LogFormat) -> String {
        switch format {
        case .human: self.human
        case .logfmt: self.logfmt
        case .json: self.json
        }
    }

    private var human: String {
        let clock = self.time.dropFirst("2026-11-21T".count).dropLast()
        let level = self.level.rawValue.padded(to: 8)
        let fields = self.fields.map { "  \($0.key)=\(Self.bare($0.value))" }.joined()
        return "\(clock) \(level) \(Self.visible(self.message))\(fields)"
    }

    private var logfmt: String {
        let fields = self.fields.map { " \($0.key)=\(Self.bare($0.value))" }.joined()
        return "time=\(self.time) level=\(self.level.rawValue) msg=\(Self.quoted(self.message))\(fields)"
    }

    private var json: String {
        let head =
            "{\"time\":\"\(self.time)\",\"level\":\"\(self.level.rawValue)\",\"msg\":\(Self.quoted(self.message))"
        return head + self.fields.map { ",\(Self.quoted($0.key)):\(Self.quoted($0.value))" }.joined() + "}"
    }

    /// Without quotes where none are needed to tell where the value ends.
    private static func bare(_ value: String) -> String {
        let isPlain =
            !value.isEmpty
            && value.utf8.allSatisfy { $0 > 0x20 && $0 != 0x7F && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "=") }
        return isPlain ? value : Self.quoted(value)
    }

    private static func quoted(_ value: String) -> String {
        var bytes: [UInt8] = []
        bytes.putJSONString(value)
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func visible(_ text: String) -> String {
        text.unicodeScalars.contains { $0.value < 0x20 } ? Self.quoted(text) : text
    }
}

extension String {
    fileprivate func padded(to width: Int) -> String {
        self + String(repeating: " ", count: max(0, width - self.count))
    }
}
