import LinkspanCore
import TestSupport
import Testing

@testable import LinkspanServer

@Suite struct DeflateTests {
    private func inflate(_ bytes: [UInt8], limit: Int = 1 << 20, with inflater: Inflater? = nil) throws -> [UInt8] {
        let inflater = if let inflater { inflater } else { try Inflater() }
        return try bytes.withUnsafeBytes { bytes in
            let block = try inflater.inflate(bytes, limit: limit)
            defer { inflater.reclaim(block) }
            return Array(UnsafeRawBufferPointer(start: block.base, count: block.count))
        }
    }

    private func deflate(_ bytes: [UInt8], level: Int = 6, with deflater: Deflater? = nil) -> [UInt8]? {
        let block = FrameBlock()
        guard let deflater = deflater ?? Deflater(CompressionSettings(level: level)),
            bytes.withUnsafeBytes({ deflater.deflate($0, into: block) })
        else { return nil }
        return Array(UnsafeRawBufferPointer(start: block.base, count: block.count))
    }

    private static let examples: [[UInt8]] = [
        // RFC 7692 7.2.3.1: one block; 7.2.3.3: stored; 7.2.3.4: a final block, and an empty one after it; 7.2.3.5: two blocks.
        [0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00],
        [0x00, 0x05, 0x00, 0xFA, 0xFF, 0x48, 0x65, 0x6C, 0x6C, 0x6F, 0x00],
        [0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00],
        [0xF2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xCA, 0xC9, 0xC9, 0x07, 0x00],
        // A final block and nothing after it.
        [0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00],
    ]

    @Test(arguments: examples)
    func `the examples of RFC 7692 are read`(example: [UInt8]) throws {
        #expect(try self.inflate(example) == Array("Hello".utf8))
    }

    @Test func `an empty message is one byte`() throws {
        #expect(try self.inflate([0x00]) == [])
        #expect(self.deflate(Array("Hello".utf8)) == Self.examples[0])
    }

    @Test func `what is compressed comes back, at all levels and sizes, one message after the other`() throws {
        var random = SeededRandom()
        let inflater = try Inflater()
        for level in 1...9 {
            let deflater = try #require(Deflater(CompressionSettings(level: level)))
            for size in [1, 2, 125, 126, 4095, 4096, 4097, 70_000, 300_000] {
                let alphabet = UInt8.random(in: 1...255, using: &random)
                let message = (0..<size).map { _ in UInt8.random(in: 0...alphabet, using: &random) }
                let compressed = try #require(self.deflate(message, with: deflater))
                #expect(try self.inflate(compressed, with: inflater) == message, "level \(level), \(size) bytes")
            }
        }
    }

    @Test func `a message of 1 MiB that came as a kilobyte stops at the limit, and the next one is read`() throws {
        let inflater = try Inflater()
        let bomb = try #require(self.deflate([UInt8](repeating: 0x20, count: 1 << 20)))
        #expect(bomb.count < 8192)
        #expect(try self.inflate(bomb, limit: 1 << 20, with: inflater).count == 1 << 20)
        for limit in [0, 1, 4095, 4096, 100_000, (1 << 20) - 1] {
            #expect(throws: InflateError.tooBig) { try self.inflate(bomb, limit: limit, with: inflater) }
        }
        #expect(try self.inflate(Self.examples[0], limit: 5, with: inflater) == Array("Hello".utf8))
        #expect(throws: InflateError.tooBig) { try self.inflate(Self.examples[0], limit: 4, with: inflater) }
    }

    @Test func `what is no deflate, or was cut, is malformed, and the next message is read`() throws {
        let inflater = try Inflater()
        let message = try #require(self.deflate(Array(##"{"event":"#publish","data":{"channel":"a"}}"##.utf8)))
        for wrong in [[0xFF], [0x07, 0x00], Array(message.dropLast(3)), [0x05], Array(repeating: 0xFE, count: 100)] {
            #expect(throws: InflateError.malformed, "\(wrong)") { try self.inflate(wrong, with: inflater) }
        }
        #expect(try self.inflate(Self.examples[1], with: inflater) == Array("Hello".utf8))
    }

    @Test func `random bytes never get past the limit`() throws {
        var random = SeededRandom()
        let inflater = try Inflater()
        for _ in 0..<2000 {
            let bytes = (0..<Int.random(in: 0..<200, using: &random)).map { _ in
                UInt8.random(in: 0...255, using: &random)
            }
            let size = (try? self.inflate(bytes, limit: 1000, with: inflater).count) ?? 0
            #expect(size <= 1000)
        }
    }
}
