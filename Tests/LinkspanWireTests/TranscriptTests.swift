import Foundation
import LinkspanWire
import Testing

/// Conversations that a person can read, kept in `Transcripts`.
///
/// `<` is a message from the client, `=` what the decoder makes of it, `>` what the server says, `!` what the
/// application tells it to say. `x:` in front of a message means bytes in hexadecimal, as min-bin speaks them. `~` is a
/// close. Lines with `#` are for the reader. With `LINKSPAN_REWRITE_TRANSCRIPTS=1` the files are written anew from
/// their `<` and `!` lines; the difference is for review.
struct TranscriptTests {
    private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .appendingPathComponent("Transcripts")

    static let names: [String] = {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: Self.folder.path)) ?? []
        return files.filter { $0.hasSuffix(".txt") }.sorted()
    }()

    @Test func `the transcripts are there`() {
        #expect(Self.names.count >= 6)
    }

    @Test(arguments: Self.names)
    func `a conversation goes as it is written down`(name: String) throws {
        let file = Self.folder.appendingPathComponent(name)
        let written = try String(contentsOf: file, encoding: .utf8)
        let played = try Self.play(written)
        if ProcessInfo.processInfo.environment["LINKSPAN_REWRITE_TRANSCRIPTS"] == "1" {
            try played.write(to: file, atomically: true, encoding: .utf8)
        } else {
            #expect(played.split(separator: "\n") == written.split(separator: "\n"))
        }
    }

    /// Keeps what the client and the application say, and writes down the rest.
    private static func play(_ transcript: String) throws -> String {
        var peer = CodecPeer(dialect: .v2)
        var lines: [String] = []
        for line in transcript.split(separator: "\n", omittingEmptySubsequences: false).map(String.init) {
            switch line.first {
            case "@":
                peer = CodecPeer(
                    dialect: line.contains("v1") ? .v1 : .v2, codec: line.contains("min-bin") ? MinBinCodec() : nil)
                lines.append(line)
            case "<":
                lines.append(line)
                let answer = peer.receive(try Self.bytes(String(line.dropFirst(2))))
                lines += answer.decoded.map { "= \($0)" }
                lines += try answer.packets.map { try Self.written($0, peer) }
                if let close = answer.close { lines.append("~ \(close.rawValue) \(close.text ?? "")") }
            case "!":
                lines.append(line)
                lines.append(try Self.written(try peer.command(String(line.dropFirst(2))), peer))
            case "=", ">", "~":
                continue
            default:
                lines.append(line)
            }
        }
        return lines.joined(separator: "\n")
    }

    static func bytes(_ message: String) throws -> [UInt8] {
        guard message.hasPrefix("x:") else { return Array(message.utf8) }
        return try message.dropFirst(2).split(separator: " ").map { try #require(UInt8($0, radix: 16)) }
    }

    private static func written(_ packet: PacketToClient, _ peer: CodecPeer) throws -> String {
        var text: [UInt8] = []
        packet.encode(dialect: peer.dialect, into: &text)
        guard let codec = peer.codec, !text.isEmpty else {
            let line = "> " + String(decoding: text, as: UTF8.self)
            return text.isEmpty ? ">" : line
        }
        var message: [UInt8] = []
        try codec.encode(text.span.bytes, into: &message)
        return "> x:" + message.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
    }
}
