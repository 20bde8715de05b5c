import LinkspanCore
import LinkspanServer
import TestSupport
import Testing

@Suite struct LivenessChecks {
    /// A stall of the machine shorter than this closes nobody.
    private static let timeout = Duration.seconds(8)
    private static let interval = Duration.seconds(1)
    /// As many intervals are more than three timeouts.
    private static let pingCount = 25

    @Test func `8, 9 and 10: pongs keep clients past three timeouts, of one protocol each and of both on one port`()
        async throws
    {
        async let new: Void = self.staysOpen(.v2, ping: "", pong: "")
        async let old: Void = self.staysOpen(.v1, ping: "#1", pong: "#2")
        async let both: Void = self.stayOpenOnOnePort()
        _ = try await (new, old, both)
    }

    private func staysOpen(_ choice: ProtocolChoice, ping: String, pong: String) async throws {
        try await withServer({
            $0.protocolChoice = choice
            $0.timing.pings(every: Self.interval, timeout: Self.timeout)
        }) { _, address in
            let client = try await RawClient.open(address)
            try await client.send(##"{"event":"#handshake","cid":1}"##)
            try await client.expectsHandshake(callID: 1, pingTimeout: 8000)
            for _ in 1...Self.pingCount {
                #expect(try await client.next("ping") == .text(ping))
                try await client.send(pong)
            }
        }
    }

    /// Each client answers the ping it knows, and gets only that from then on.
    private func stayOpenOnOnePort() async throws {
        try await withServer({ $0.timing.pings(every: Self.interval, timeout: Self.timeout) }) { _, address in
            let old = try await RawClient.ready(address)
            let new = try await RawClient.ready(address)
            for (client, ping, pong) in [(old, "#1", "#2"), (new, "", "")] {
                _ = try await client.next("ping of protocol 2") { $0 == .text("") }
                #expect(try await client.next("ping of protocol 1") == .text("#1"))
                try await client.send(pong)
                _ = try await client.next("ping of its own") { $0 == .text(ping) }
                try await client.send(pong)
            }
            try await old.subscribe("both")
            try await new.subscribe("both")
            for _ in 1...Self.pingCount {
                _ = try await old.next("ping") { $0 == .text("#1") }
                try await old.send("#2")
                _ = try await new.next("ping") { $0 == .text("") }
                try await new.send("")
            }
            try await old.publish("both", "1")
            try await new.expects(RawClient.delivery("both", "1"))
            try await old.expects(RawClient.delivery("both", "1"))
            // Both pings may have been under way until the first pong had arrived, and never after it.
            #expect(!old.log.events.suffix(10).contains(.text("")))
            #expect(!new.log.events.suffix(10).contains(.text("#1")))
        }
    }

    @Test func `8: without a pong protocol 2 closes with 4001, whatever else the client sends`() async throws {
        try await withConversation(
            .v2, { $0.timing.pings(every: .milliseconds(100), timeout: .seconds(3)) }
        ) { client, _, _ in
            let chatting = Task {
                var index = 0
                while true {
                    index = try await client.log.first(from: index, "ping") { $0 == .text("") }.index + 1
                    try await client.publish("a", "1")
                }
            }
            defer { chatting.cancel() }
            try await client.expectsClose(4001)
        }
    }

    @Test func `9: without a pong protocol 1 announces the close with 4001 first`() async throws {
        try await withConversation(
            .v1, { $0.timing.pings(every: .milliseconds(100), timeout: .seconds(3)) }
        ) { client, _, _ in
            try await client.expects(##"{"event":"#disconnect","data":{"code":4001}}"##)
            try await client.expectsClose(4001)
        }
    }

    @Test(arguments: bothProtocols)
    func `11: with the ping timeout disabled nobody is pinged and nobody closed for silence`(
        choice: ProtocolChoice
    ) async throws {
        try await withConversation(
            choice,
            {
                $0.timing.pings(every: .milliseconds(50), timeout: .milliseconds(100))
                $0.timing.pingTimeoutDisabled = true
            }
        ) { client, _, _ in
            // Another server with the same intervals is the clock: it has closed its client when the time is over.
            try await withConversation(
                choice, { $0.timing.pings(every: .milliseconds(100), timeout: .seconds(3)) }
            ) { other, _, _ in
                let code = try await other.closeCode()
                #expect(code == 4001)
            }
            try await client.expectsNothing()
            #expect(!client.log.events.contains(.text("")))
            #expect(!client.log.events.contains(.text("#1")))
        }
    }
}

extension TimingSettings {
    fileprivate mutating func pings(every interval: Duration, timeout: Duration) {
        self.pingInterval = interval
        self.pingTimeout = timeout
        self.pingTimeoutDisabled = false
    }
}
