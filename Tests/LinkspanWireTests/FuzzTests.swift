import Foundation
import LinkspanWire
import TestSupport
import Testing

struct FuzzTests {
    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()

    /// Inputs that once broke something, and seeds for the fuzzer.
    static let failCases: [URL] = {
        let folder = Self.folder.appendingPathComponent("FailCases")
        let files = try? FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        return (files ?? []).sorted { $0.path < $1.path }
    }()

    @Test func `no failure of the past comes back`() throws {
        #expect(!Self.failCases.isEmpty)
        for file in Self.failCases {
            let violations = WireInvariants.violations([UInt8](try Data(contentsOf: file)))
            #expect(violations.isEmpty, "\(file.lastPathComponent)")
        }
    }

    @Test func `a hundred thousand damaged messages break nothing`() throws {
        var random = SeededRandom()
        let seeds = try Self.seeds()
        for _ in 0..<100_000 {
            var input = seeds.randomElement(using: &random) ?? []
            for _ in 0..<Int.random(in: 1...5, using: &random) { RandomJSON.damage(&input, using: &random) }
            if Bool.random(using: &random), let other = seeds.randomElement(using: &random), !input.isEmpty {
                let index = Int.random(in: 0..<input.count, using: &random)
                input.replaceSubrange(index..., with: other.suffix(Int.random(in: 0...other.count, using: &random)))
            }
            let violations = WireInvariants.violations(input)
            #expect(violations.isEmpty, "\(input)")
        }
    }

    /// Every message of the transcripts, fed to each part, and some frames.
    private static func seeds() throws -> [[UInt8]] {
        var seeds: [[UInt8]] = []
        for name in TranscriptTests.names {
            let file = Self.folder.appendingPathComponent("Transcripts").appendingPathComponent(name)
            for line in try String(contentsOf: file, encoding: .utf8).split(separator: "\n") {
                guard line.hasPrefix("< ") || line.hasPrefix("> ") else { continue }
                let message = try TranscriptTests.bytes(String(line.dropFirst(2)))
                let isMinBin = line.dropFirst(2).hasPrefix("x:")
                seeds += isMinBin ? [[3] + message] : [[0] + message, [1] + message, [4] + message]
                let header = WebSocketFrameHeader(
                    opcode: .text, payloadLength: message.count, mask: WebSocketMask(key: 0))
                var frame: [UInt8] = [2]
                header.encode(into: &frame)
                seeds.append(frame + message)
            }
        }
        return seeds
    }
}
