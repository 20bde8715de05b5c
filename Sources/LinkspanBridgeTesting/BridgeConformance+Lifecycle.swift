internal import Glibc
internal import LinkspanBridgeKit

// How conversations begin and end.
extension BridgeConformance {
    func checkCancel(_ pair: Pair) async throws {
        let name = pair.names.plain("cancel")
        try await pair.subscribe(.exact(name))
        pair.receiver.holdDeliveries()
        try await pair.send([pair.message(name, "1")])
        try await pair.receiver.wait(for: "a delivery", atMost: self.patience) { !$0.received.isEmpty }
        pair.sender.add(egress: (0..<1_000).map { pair.message(name, "\($0)") })
        try await self.finish(pair.receiver, keepingHeld: true)
        try await self.finish(pair.sender)
        // What the host takes late must not disturb a conversation that is over.
        pair.receiver.releaseDeliveries()
    }

    func checkRestart(_ pair: Pair) async throws {
        let (first, second) = (pair.names.plain("first"), pair.names.plain("second"))
        try await pair.subscribe(.exact(first))
        _ = try await pair.receiveUpTo("1", on: first)
        try await self.finish(pair.receiver)
        let again = try await pair.converseAgain(interest: [.exact(second)])
        try await pair.send([pair.message(first, "2"), pair.message(second, "3")])
        let received = try await pair.receiveUpTo("4", on: second, conversation: again)
        // A kept session may still hold the first name; the host then filters it.
        let isFresh = self.settings.guarantee == .atMostOnce
        try requireEqual(received.filter { isFresh || $0.name == second }.map(\.text), ["3", "4"])
    }

    func checkResume(_ pair: Pair) async throws {
        let name = pair.names.plain("resumed")
        try await pair.subscribe(.exact(name))
        _ = try await pair.receiveUpTo("1", on: name)
        try await self.finish(pair.receiver)
        try await pair.send([pair.message(name, "2"), pair.message(name, "3")])
        let again = try await pair.converseAgain(interest: [.exact(name)])
        guard again.read({ $0.facts[0].resumedSession }) else { return }
        let received = try await pair.receiveUpTo("4", on: name, conversation: again)
        let fresh = received.map(\.text).filter { $0 != "1" }
        try requireEqual(fresh, ["2", "3", "4"])
    }

    func checkWrongPassword() async throws {
        guard self.settings.password != nil else { return }
        let site = try self.site("a", check: .wrongPassword) { $0.password = Secret("not the password") }
        try await self.requireError(.refused, from: site.converse())
    }

    func checkUnreachable() async throws {
        let port = try ClosedPort()
        var url = self.settings.urls[0]
        url.host = "127.0.0.1"
        url.port = port.number
        let closed = url
        let site = try self.site("a", check: .unreachable) { $0.urls = [closed] }
        try await self.requireError(.unreachable, from: site.converse())
        withExtendedLifetime(port) {}
    }

    private func requireError(_ code: UpstreamError.Code, from conversation: Conversation) async throws(Finding) {
        let end = await conversation.end(atMost: self.patience)
        let connected = conversation.read { !$0.facts.isEmpty }
        conversation.cancel()
        switch end {
        case nil: throw Finding("run(on:) neither returned nor threw within \(self.patience)")
        case .success: throw Finding("run(on:) returned without having been cancelled")
        case .failure(let error as UpstreamError):
            try require(error.code == code, "expected \(code) and got \(error)")
            try require(!error.message.isEmpty, "the error has no message for people")
        case .failure(let error): throw Finding("expected an UpstreamError and got \(error)")
        }
        try require(!connected, "connected was reported for a connection that was \(code)")
    }
}

/// A loopback TCP port on which nobody listens, kept from others as long as this lives.
private final class ClosedPort: Sendable {
    let number: Int
    private let descriptor: Int32

    init() throws(Finding) {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        self.descriptor = descriptor
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = in_addr_t(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
            }
        }
        self.number = Int(UInt16(bigEndian: address.sin_port))
        try require(isBound, "no loopback port could be had (errno \(errno))")
    }

    deinit { close(self.descriptor) }
}
