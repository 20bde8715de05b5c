internal import CLinkspanFloor
internal import Glibc

enum Loopback {
    private static func address(_ port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return address
    }

    private static func call(
        _ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        var address = Self.address(port)
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
    }

    /// A connection to a port of 127.0.0.1, made at once (the backlog permitting) and non-blocking from then on.
    /// - Parameter receiveBytes: what the kernel keeps for it unread; its own choice unless given.
    static func connect(port: UInt16, receiveBytes: Int32? = nil) throws -> Int32 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw BenchError("no descriptors left (errno \(errno)); try `ulimit -n 65536`") }
        if var receiveBytes {
            setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &receiveBytes, socklen_t(MemoryLayout<Int32>.size))
        }
        guard Self.call(port, { Glibc.connect(descriptor, $0, $1) }) == 0 else {
            let code = errno
            close(descriptor)
            throw BenchError("no connection to port \(port): \(String(cString: strerror(code)))")
        }
        linkspan_send_at_once(descriptor)
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
        return descriptor
    }

    static func accepts(port: UInt16) -> Bool {
        guard let descriptor = try? Self.connect(port: port) else { return false }
        close(descriptor)
        return true
    }

    /// A port that nothing listens on, below those that the kernel gives to connections.
    static func freePort() throws -> UInt16 {
        for _ in 0..<100 {
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
            defer { close(descriptor) }
            let port = UInt16.random(in: 20_000..<32_000)
            if descriptor >= 0, Self.call(port, { bind(descriptor, $0, $1) }) == 0 { return port }
        }
        throw BenchError("no free port (errno \(errno))")
    }
}
