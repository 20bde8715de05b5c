import Foundation
import LinkspanWire

/// Random documents, and random damage.
enum RandomJSON {
    static func document(using random: inout some RandomNumberGenerator, depth: Int = 0) -> Any {
        switch Int.random(in: 0..<(depth > 4 ? 6 : 9), using: &random) {
        case 0: NSNull()
        case 1: NSNumber(value: Bool.random(using: &random))
        case 2: NSNumber(value: Int64.random(in: -1_000...1_000, using: &random))
        case 3: NSNumber(value: Double.random(in: -1e6...1e6, using: &random))
        case 4, 5: Self.string(using: &random) as NSString
        case 6, 7:
            (0..<Int.random(in: 0...6, using: &random)).map { _ in Self.document(using: &random, depth: depth + 1) }
                as NSArray
        default:
            Dictionary(
                (0..<Int.random(in: 0...6, using: &random)).map { _ in
                    (Self.string(using: &random), Self.document(using: &random, depth: depth + 1))
                }, uniquingKeysWith: { first, _ in first }) as NSDictionary
        }
    }

    /// A document as text in the shortest form: keys unique, strings escaped as `JSON.stringify` does, numbers that 32
    /// bits hold.
    static func text(using random: inout some RandomNumberGenerator, depth: Int = 0) -> String {
        switch Int.random(in: 0..<(depth > 4 ? 5 : 8), using: &random) {
        case 0: return "null"
        case 1: return Bool.random(using: &random) ? "true" : "false"
        case 2: return String(Int32.random(in: .min ... .max, using: &random))
        case 3: return String(Int32.random(in: -200...200, using: &random)) + ".5"
        case 4: return JSONText(string: Self.string(using: &random)).description
        case 5, 6:
            let count = Int.random(in: 0...(depth == 0 ? 20 : 4), using: &random)
            return "[" + (0..<count).map { _ in Self.text(using: &random, depth: depth + 1) }.joined(separator: ",")
                + "]"
        default:
            let count = Int.random(in: 0...(depth == 0 ? 20 : 4), using: &random)
            let members = (0..<count).map { "\"\($0)x\":" + Self.text(using: &random, depth: depth + 1) }
            return "{" + members.joined(separator: ",") + "}"
        }
    }

    static func string(using random: inout some RandomNumberGenerator) -> String {
        let alphabet: [Character] = [
            "a", "Z", "0", " ", "\"", "\\", "/", "\n", "\t", "é", "ж", "€", "😀", "\u{1}", "{", ",",
        ]
        // Mostly letters, so that long plain runs occur as well.
        return String(
            (0..<Int.random(in: 0...40, using: &random)).map { _ in
                Int.random(in: 0..<4, using: &random) > 0 ? "x" : alphabet.randomElement(using: &random) ?? "x"
            })
    }

    static func damage(_ text: inout [UInt8], using random: inout some RandomNumberGenerator) {
        let interesting =
            Array("\"\\{}[]:,0123456789eE+-.truefalsn u \t\n".utf8) + [0x00, 0x1F, 0x7F, 0x80, 0xC3, 0xED, 0xF0, 0xFF]
        let byte = interesting.randomElement(using: &random) ?? 0
        guard !text.isEmpty else {
            text.append(byte)
            return
        }
        let index = Int.random(in: 0..<text.count, using: &random)
        switch Int.random(in: 0..<6, using: &random) {
        case 0: text[index] = byte
        case 1: text.insert(byte, at: index)
        case 2: text.remove(at: index)
        case 3: text.removeSubrange(index...)
        case 4: text[index] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        default: text.insert(contentsOf: text[index..<min(index + 8, text.count)], at: index)
        }
    }
}
