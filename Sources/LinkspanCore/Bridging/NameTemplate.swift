public import LinkspanBridgeKit

/// Maps channel names to upstream names and back: `prefix{channel}suffix`.
///
/// The text around `{channel}` is used as it stands; the channel's part is escaped by the upstream's ``NameRules``. The mapping is a
/// bijection: two channels never share a name, and a name that no channel maps to (an escape that was not needed, lower-case hexadecimal
/// digits) is refused rather than taken for a second spelling.
public struct NameTemplate: Sendable, Hashable, CustomStringConvertible {
    public let rules: NameRules
    let prefix: String
    let suffix: String

    /// - Throws: ``NameTemplateError`` when `{channel}` is missing or stands twice, or when the text around it is not legal upstream.
    public init(_ template: String, rules: NameRules) throws(NameTemplateError) {
        let parts = Self.split(template)
        guard parts.count == 2 else {
            throw NameTemplateError(
                parts.count < 2 ? "the template has no {channel}" : "the template has {channel} more than once")
        }
        self.rules = rules
        self.prefix = parts[0]
        self.suffix = parts[1]
        try self.checkText()
    }

    public var description: String { self.prefix + Self.placeholder + self.suffix }

    /// The upstream name of `channel`; nil when it would be longer than the upstream allows, or empty.
    public func encode(_ channel: ChannelName) -> String? {
        var name = self.prefix
        self.appendEscaped(channel.string, to: &name)
        name += self.suffix
        return (1...self.rules.lengthLimit).contains(name.utf8.count) ? name : nil
    }

    /// The text that the names of all channels starting with `channelPrefix` start with.
    public func encodePrefix(_ channelPrefix: String) -> String {
        var name = self.prefix
        self.appendEscaped(channelPrefix, to: &name)
        return name
    }

    /// The channel whose name this is; nil when ``encode(_:)`` returns it for none.
    public func decode(_ name: String) -> ChannelName? {
        let bytes = name.utf8
        let count = bytes.count - self.prefix.utf8.count - self.suffix.utf8.count
        guard count >= 0, bytes.starts(with: self.prefix.utf8) else { return nil }
        let part = bytes.dropFirst(self.prefix.utf8.count).prefix(count)
        guard bytes.suffix(self.suffix.utf8.count).elementsEqual(self.suffix.utf8) else { return nil }
        guard let channel = self.unescape(part).map({ ChannelName($0) }), let canonical = self.encode(channel) else {
            return nil
        }
        return canonical.utf8.elementsEqual(bytes) ? channel : nil
    }

    private static let placeholder = "{channel}"

    private static func split(_ template: String) -> [String] {
        var parts: [String] = []
        var rest = template.utf8[...]
        var start = rest.startIndex
        while let index = rest.indices.first {
            if rest.starts(with: Self.placeholder.utf8) {
                parts.append(String(Substring(template.utf8[start..<index])))
                rest = rest.dropFirst(Self.placeholder.utf8.count)
                start = rest.startIndex
            } else {
                rest = rest.dropFirst()
            }
        }
        return parts + [String(Substring(template.utf8[start...]))]
    }

    private func checkText() throws(NameTemplateError) {
        for scalar in (self.prefix + self.suffix).unicodeScalars {
            if self.rules.escapesControls, scalar.isControlOrNoncharacter {
                throw NameTemplateError(
                    "the template has U+\(String(scalar.value, radix: 16, uppercase: true)), which the upstream refuses"
                )
            }
            if let byte = UInt8(exactly: scalar.value), self.rules.reserved.contains(byte), byte != self.rules.separator
            {
                throw NameTemplateError("the template has `\(scalar)`, which the upstream reserves")
            }
        }
        if self.rules.escapesLeadingDollar, self.prefix.utf8.first == UInt8(ascii: "$") {
            throw NameTemplateError("the template starts with `$`, which the upstream keeps for itself")
        }
        guard self.prefix.utf8.count + self.suffix.utf8.count < self.rules.lengthLimit else {
            throw NameTemplateError(
                "the template leaves no room for a channel: names have at most \(self.rules.lengthLimit) bytes")
        }
    }

    private func appendEscaped(_ channel: String, to name: inout String) {
        var separators = 0
        var isFirst = name.isEmpty
        for scalar in channel.unicodeScalars {
            if scalar == "/", separators < self.rules.separatorLimit {
                separators += 1
                name.unicodeScalars.append(Unicode.Scalar(self.rules.separator))
            } else if self.mustEscape(scalar) || (isFirst && scalar == "$" && self.rules.escapesLeadingDollar) {
                Self.appendEscape(of: scalar, to: &name)
            } else {
                name.unicodeScalars.append(scalar)
            }
            isFirst = false
        }
    }

    private func mustEscape(_ scalar: Unicode.Scalar) -> Bool {
        // A `/` that gets here is past the separator limit, or the upstream has a separator of its own for it.
        if scalar == "%" || scalar == "/" { return true }
        if let byte = UInt8(exactly: scalar.value), scalar.isASCII,
            byte == self.rules.separator || self.rules.reserved.contains(byte)
        {
            return true
        }
        return self.rules.escapesControls && scalar.isControlOrNoncharacter
    }

    private static func appendEscape(of scalar: Unicode.Scalar, to name: inout String) {
        for byte in UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter {
            name.unicodeScalars.append("%")
            name.unicodeScalars.append(Self.hexDigit(byte >> 4))
            name.unicodeScalars.append(Self.hexDigit(byte & 0xF))
        }
    }

    private static func hexDigit(_ value: UInt8) -> Unicode.Scalar {
        Unicode.Scalar(value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "A") + value - 10)
    }

    private func unescape(_ part: Substring.UTF8View) -> String? {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(part.count)
        var rest = part.makeIterator()
        while let byte = rest.next() {
            switch byte {
            case self.rules.separator:
                bytes.append(UInt8(ascii: "/"))
            case UInt8(ascii: "%"):
                guard let high = rest.next()?.hexValue, let low = rest.next()?.hexValue else { return nil }
                bytes.append(high << 4 | low)
            default:
                bytes.append(byte)
            }
        }
        return String(validating: bytes, as: UTF8.self)
    }
}

public struct NameTemplateError: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String
    init(_ description: String) { self.description = description }
}

extension Unicode.Scalar {
    /// U+0000-1F, U+007F-9F, U+FDD0-FDEF and the last two of each plane: what MQTT 5 (1.5.4) lets a receiver refuse.
    fileprivate var isControlOrNoncharacter: Bool {
        switch self.value {
        case 0x00...0x1F, 0x7F...0x9F, 0xFDD0...0xFDEF: true
        default: self.value & 0xFFFE == 0xFFFE
        }
    }
}

extension UInt8 {
    fileprivate var hexValue: UInt8? {
        switch self {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): self - UInt8(ascii: "0")
        case UInt8(ascii: "A")...UInt8(ascii: "F"): self - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
