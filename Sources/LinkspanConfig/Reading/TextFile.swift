internal import Glibc

/// Reads small text files.
public enum TextFile {
    /// The content of the file at `path`.
    ///
    /// - Throws: ``FileProblem`` when it cannot be opened, is longer than `limit` bytes or is not UTF-8.
    public static func read(_ path: String, limit: Int) throws(FileProblem) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw FileProblem(String(cString: strerror(errno))) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        while bytes.count <= limit {
            // One byte past the limit tells a file of that length from a longer one.
            let chunk = try Self.readChunk(descriptor, upTo: min(65_536, limit + 1 - bytes.count))
            if chunk.isEmpty { break }
            bytes += chunk
        }
        guard bytes.count <= limit else { throw FileProblem("longer than \(Quantity.text(bytes: limit))") }
        guard let text = String(validating: bytes, as: UTF8.self) else { throw FileProblem("not a text in UTF-8") }
        return text
    }

    private static func readChunk(_ descriptor: Int32, upTo count: Int) throws(FileProblem) -> [UInt8] {
        var code = 0
        let chunk = [UInt8](unsafeUninitializedCapacity: max(count, 0)) { buffer, used in
            repeat { code = Glibc.read(descriptor, buffer.baseAddress, count) } while code < 0 && errno == EINTR
            used = max(code, 0)
        }
        guard code >= 0 else { throw FileProblem(String(cString: strerror(errno))) }
        return chunk
    }
}
