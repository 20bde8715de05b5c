internal import Glibc
internal import LinkspanBridgeKit

/// Opens TCP connections; librabbitmq's own way cannot be interrupted and does not say what went wrong.
enum Dial {
    /// Tries every address of `host` in turn, each for its share of the time that is left.
    ///
    /// - Returns: a connected, non-blocking descriptor that the caller owns; nil when `signal` was cancelled.
    static func connect(
        host: String, port: Int, within limit: Duration, signal: WakeSignal
    ) throws(UpstreamError) -> Int32? {
        let deadline = Clock.now + limit.nanoseconds
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, String(port), &hints, &list)
        guard code == 0 else {
            throw UpstreamError(
                .unreachable, "finding \(host): \(String(cString: gai_strerror(code))) (getaddrinfo code \(code))")
        }
        defer { freeaddrinfo(list) }

        let addresses = sequence(first: list) { $0?.pointee.ai_next }.prefix { $0 != nil }.compactMap { $0 }
        var failure = Int32(EHOSTUNREACH)
        for (index, address) in addresses.enumerated() {
            if signal.isCancelled { return nil }
            let now = Clock.now
            let share = (max(deadline, now) - now) / UInt64(addresses.count - index)
            switch Self.connect(to: address.pointee, until: now + share, signal: signal) {
            case .connected(let descriptor): return descriptor
            case .failed(let code): failure = code
            }
        }
        if signal.isCancelled { return nil }
        throw UpstreamError(.unreachable, "connecting: \(String(cString: strerror(failure))) (errno \(failure))")
    }

    private enum Attempt {
        case connected(Int32)
        case failed(Int32)
    }

    private static func connect(to address: addrinfo, until deadline: UInt64, signal: WakeSignal) -> Attempt {
        let flags = address.ai_socktype | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let descriptor = socket(address.ai_family, flags, address.ai_protocol)
        guard descriptor >= 0 else { return .failed(errno) }
        var on: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_KEEPALIVE, &on, socklen_t(MemoryLayout<Int32>.size))
        let failure = Self.finish(descriptor, address, until: deadline, signal: signal)
        guard failure == 0 else {
            close(descriptor)
            return .failed(failure)
        }
        return .connected(descriptor)
    }

    private static func finish(
        _ descriptor: Int32, _ address: addrinfo, until deadline: UInt64, signal: WakeSignal
    ) -> Int32 {
        if Glibc.connect(descriptor, address.ai_addr, address.ai_addrlen) == 0 { return 0 }
        guard errno == EINPROGRESS else { return errno }
        while !signal.isCancelled {
            let now = Clock.now
            guard now < deadline else { return ETIMEDOUT }
            var polled = [
                pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0),
                pollfd(fd: signal.descriptor, events: Int16(POLLIN), revents: 0),
            ]
            _ = poll(&polled, 2, Int32(clamping: (deadline - now) / 1_000_000 + 1))
            if polled[0].revents != 0 {
                var failure: Int32 = 0
                var length = socklen_t(MemoryLayout<Int32>.size)
                getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &failure, &length)
                return failure
            }
            signal.clear()
        }
        return ECANCELED
    }
}
