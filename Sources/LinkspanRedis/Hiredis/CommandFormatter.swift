internal import CLinkspanHiredis
internal import NIOCore

extension ByteBuffer {
    /// Appends a command as hiredis formats it. Arguments may hold any byte.
    mutating func writeCommand(_ arguments: [String]) {
        var texts = arguments
        var lengths = texts.map(\.utf8.count)
        var joined = texts.removeFirst()
        for text in texts { joined += text }
        joined.withUTF8 { bytes in
            // An empty command name would leave no base address; every command of ours has one.
            guard var start = bytes.baseAddress else { return }
            var pointers: [UnsafePointer<CChar>?] = lengths.map { length in
                defer { start += length }
                return UnsafeRawPointer(start).assumingMemoryBound(to: CChar.self)
            }
            var formatted: UnsafeMutablePointer<CChar>?
            let count = redisFormatCommandArgv(&formatted, Int32(lengths.count), &pointers, &lengths)
            precondition(count >= 0, "redisFormatCommandArgv failed: the process is out of memory")
            self.writeBytes(UnsafeRawBufferPointer(start: formatted, count: Int(count)))
            redisFreeCommand(formatted)
        }
    }
}
