internal import LinkspanBridgeKit

/// Upstream names for the checks: unique to one run of one check, escaped by the bridge's own rules.
struct TestNames {
    let rules: NameRules
    /// What stands before and after the channel's part of a name.
    let prefix: String
    let suffix: String
    let folder: String

    init(bridge: any Bridge, check: BridgeCheck, run: String) {
        let kind = type(of: bridge)
        let parts = kind.defaultNameTemplate.split(
            separator: "{channel}", maxSplits: 1, omittingEmptySubsequences: false)
        self.rules = kind.nameRules
        self.prefix = String(parts[0])
        self.suffix = parts.count > 1 ? String(parts[1]) : ""
        self.folder = "conformance/\(run)/\(BridgeCheck.allCases.firstIndex(of: check)!)"
    }

    /// The upstream name of a channel below this check's folder; nil when it would be longer than the upstream allows.
    func encode(_ channel: String) -> String? {
        let name = self.prefix + self.escape("\(self.folder)/\(channel)") + self.suffix
        return name.utf8.count <= self.rules.lengthLimit ? name : nil
    }

    /// The upstream name of a short plain channel, which every upstream takes.
    func plain(_ channel: String) -> String {
        self.prefix + self.escape("\(self.folder)/\(channel)") + self.suffix
    }

    /// The text that every name below `channel` starts with.
    func below(_ channel: String) -> String {
        self.prefix + self.escape("\(self.folder)/\(channel)/")
    }

    /// Channel names that have broken bridges before: wildcards, separators, escapes, controls, lengths.
    static let awkward: [String] = [
        "chat/room 1", "a//b", "/a", "a/", "a.b", "a%2Eb", "a%b", "+", "#", "a/+/b", "a/#", "$x", "caf\u{E9}",
        "cafe\u{301}", "\u{1F680}", "a\u{0}b", "a\u{1}\u{1F}\u{7F}\u{85}b", "\u{FFFE}", "*", "**", "?", "[x]", "\\",
        "~", "\"",
        "{channel}", "a b\tc", "null", String(repeating: "n", count: 150), String(repeating: "\u{E9}", count: 480),
        String(repeating: "s/", count: 70),
    ]

    private func escape(_ channel: String) -> String {
        var result: [UInt8] = []
        var separators = 0
        for scalar in channel.unicodeScalars {
            if scalar == "/", separators < self.rules.separatorLimit, !self.rules.reserved.contains(UInt8(ascii: "/")) {
                separators += 1
                result.append(self.rules.separator)
            } else if self.mustEscape(scalar, isFirst: result.isEmpty) {
                for byte in String(scalar).utf8 { result += Self.escaped(byte) }
            } else {
                result += String(scalar).utf8
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    private func mustEscape(_ scalar: Unicode.Scalar, isFirst: Bool) -> Bool {
        if scalar == "%" || scalar == "/" { return true }
        if scalar == "$", isFirst, self.prefix.isEmpty, self.rules.escapesLeadingDollar { return true }
        if scalar.isASCII, self.rules.reserved.contains(UInt8(scalar.value)) { return true }
        if scalar.isASCII, UInt8(scalar.value) == self.rules.separator { return true }
        return self.rules.escapesControls && Self.isControl(scalar.value)
    }

    private static func isControl(_ value: UInt32) -> Bool {
        value < 0x20 || (0x7F...0x9F).contains(value) || (0xFDD0...0xFDEF).contains(value) || value & 0xFFFE == 0xFFFE
    }

    private static func escaped(_ byte: UInt8) -> [UInt8] {
        let digits = Array("0123456789ABCDEF".utf8)
        return [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
    }
}
