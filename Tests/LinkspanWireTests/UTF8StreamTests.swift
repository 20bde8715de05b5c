import LinkspanWire
import TestSupport
import Testing

struct UTF8StreamTests {
    private static func isValid(_ bytes: [UInt8], split: Int) -> Bool {
        var stream = UTF8Stream()
        let isFirstHalfPossible = bytes[..<split].withUnsafeBytes { stream.append($0) }
        return isFirstHalfPossible && bytes[split...].withUnsafeBytes { stream.append($0) } && stream.isComplete
    }

    @Test func `every sequence of up to three interesting bytes is judged as the standard library judges it`() {
        let bytes: [UInt8] =
            [0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1]
            + [0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF]
        for first in bytes {
            for second in bytes {
                for third in bytes {
                    for fourth in [0x80, 0xBF, 0x41] as [UInt8] {
                        let text = [first, second, third, fourth]
                        let expected = String(validating: text, as: UTF8.self) != nil
                        for split in 0...4 where Self.isValid(text, split: split) != expected {
                            Issue.record("\(text) split at \(split) should be \(expected)")
                        }
                    }
                }
            }
        }
    }

    @Test func `random text cut at random places is judged as a whole`() {
        var random = SeededRandom()
        for _ in 0..<5_000 {
            var text = Array(RandomJSON.string(using: &random).utf8)
            if Bool.random(using: &random) { RandomJSON.damage(&text, using: &random) }
            let expected = String(validating: text, as: UTF8.self) != nil
            var stream = UTF8Stream()
            var isPossible = true
            var rest = text[...]
            while isPossible, !rest.isEmpty {
                let piece = rest.prefix(Int.random(in: 1...5, using: &random))
                isPossible = piece.withUnsafeBytes { stream.append($0) }
                rest = rest.dropFirst(piece.count)
            }
            #expect((isPossible && stream.isComplete) == expected, "\(text)")
        }
    }

    @Test func `a character that cannot be finished is refused at once`() {
        for prefix in [[0xE0, 0x80], [0xED, 0xA0], [0xF0, 0x80], [0xF4, 0x90], [0xC0], [0xF5], [0x80]] as [[UInt8]] {
            var stream = UTF8Stream()
            #expect(!prefix.withUnsafeBytes { stream.append($0) }, "\(prefix)")
        }
    }
}
