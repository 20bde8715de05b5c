internal import Foundation
internal import Glibc

/// A folder for configuration and logs; it goes with this value.
final class ScratchFolder: Sendable {
    let path: String

    init() throws {
        let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(parent)/linkspan-bench-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw BenchError("no scratch folder in \(parent) (errno \(errno))") }
        self.path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        chmod(self.path, 0o755)
        Caretaker.shared.made(folder: self.path)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: self.path)
        Caretaker.shared.removed(folder: self.path)
    }

    func file(_ name: String) -> String { "\(self.path)/\(name)" }

    @discardableResult
    func write(_ text: String, to name: String, mode: mode_t = 0o644) throws -> String {
        let file = self.file(name)
        // One that nobody may write to, from an earlier attempt.
        unlink(file)
        try TextFile.write(text, to: file)
        chmod(file, mode)
        return file
    }
}

enum TextFile {
    static func write(_ text: String, to path: String) throws {
        guard let file = fopen(path, "w") else {
            throw BenchError("cannot write \(path): \(String(cString: strerror(errno)))")
        }
        fputs(text, file)
        fclose(file)
    }
}
