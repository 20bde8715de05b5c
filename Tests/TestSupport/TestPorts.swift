internal import Glibc
internal import Synchronization

/// Free loopback ports below the ephemeral range, so that no outgoing connection takes one while its server restarts.
public enum TestPorts {
    private static let handedOut = Mutex<Set<UInt16>>([])

    /// A port that nothing listened on a moment ago; never the same twice in one process.
    public static func next() -> Int {
        self.handedOut.withLock { handedOut in
            while true {
                let port = UInt16.random(in: 20_000..<32_000)
                guard !handedOut.contains(port), self.canBind(port) else { continue }
                handedOut.insert(port)
                return Int(port)
            }
        }
    }

    /// Whether something accepts connections there.
    public static func accepts(_ port: Int) -> Bool {
        self.withSocket { socket in
            self.withAddress(UInt16(port)) { connect(socket, $0, $1) } == 0
        }
    }

    private static func canBind(_ port: UInt16) -> Bool {
        self.withSocket { socket in
            var yes: Int32 = 1
            setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
            return self.withAddress(port) { bind(socket, $0, $1) } == 0
        }
    }

    private static func withSocket(_ body: (Int32) -> Bool) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        return body(descriptor)
    }

    private static func withAddress(_ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }
}
