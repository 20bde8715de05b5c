import LinkspanBridgeKit
import LinkspanCore
import LinkspanServer
import Logging
import NIOCore
import TestSupport
import Testing

@Suite struct ListenersTests {
    @Test func `listeners of one server have paths, protocols and codecs of their own, and the same channels`()
        async throws
    {
        try await withServer({ settings in
            settings.protocolChoice = .v2
            settings.codec = .json
            var old = ListenerSettings(port: 0)
            old.host = "127.0.0.1"
            old.path = "/old/"
            old.protocolChoice = .v1
            settings.moreListeners = [old]
        }) { server, _ in
            let addresses = try await server.addresses
            #expect(addresses.count == 2)
            #expect(addresses[0] != addresses[1])
            let new = try await RawClient.open(addresses[0])
            try await new.shakesHands()
            let old = try await RawClient.open(addresses[1], path: "/old/")
            try await old.shakesHands()
            let malformed = ##"{"event":"#publish","cid":2}"##
            try await new.send(malformed)
            try await new.expects(failure(2, "InvalidActionError", "Publish channel name was malformatted"))
            try await old.send(malformed)
            #expect(try await old.nextText().contains(#""name":"BrokerError""#))
            try await new.subscribe("foo")
            try await old.publish("foo", "1")
            try await new.expects(RawClient.delivery("foo", "1"))
            let stray = try await RawClient.connect(addresses[0])
            try await stray.send(bytes: Array(RawClient.request(path: "/old/").utf8))
            guard case .response(let response) = try await stray.next("refusal") else { return }
            #expect(response.hasPrefix("HTTP/1.1 400 "))
        }
    }

    @Test func `a further port that is taken is named in the error`() async throws {
        try await withServer { _, address in
            var settings = ServerSettings()
            settings.host = "127.0.0.1"
            settings.port = 0
            settings.eventLoops = 1
            var taken = ListenerSettings(port: address.port ?? 0)
            taken.host = "127.0.0.1"
            settings.moreListeners = [taken]
            let second = LinkspanServer(settings: settings, instance: InstanceID("second")!, logger: .quiet)
            let error = await #expect(throws: ListenError.self) { try await second.run() }
            #expect(error?.port == taken.port)
        }
    }

    private func waiting(for condition: Settlement<Void>) -> LinkspanServer {
        var settings = ServerSettings()
        settings.host = "127.0.0.1"
        settings.port = 0
        settings.eventLoops = 1
        let server = LinkspanServer(settings: settings, instance: InstanceID("waits")!, logger: .quiet)
        server.listen { try await condition.value }
        return server
    }

    @Test func `no port is open before what it depends on has started`() async throws {
        let condition = Settlement<Void>()
        let server = self.waiting(for: condition)
        async let address = server.address
        let running = Task { try await server.run() }
        #expect(!server.isListening)
        condition.settle(.success(()))
        _ = try await RawClient.ready(try await address)
        running.cancel()
        try await running.value
    }

    @Test func `a server that waits for what it depends on can be stopped`() async throws {
        let server = self.waiting(for: Settlement<Void>())
        let running = Task { try await server.run() }
        running.cancel()
        try await running.value
        #expect(!server.isListening)
        await #expect(throws: CancellationError.self) { _ = try await server.address }
    }

    @Test func `what does not start keeps the ports closed, and is the error of the server`() async throws {
        struct Refused: Error {}
        let condition = Settlement<Void>()
        condition.settle(.failure(Refused()))
        condition.settle(.success(()))
        let server = self.waiting(for: condition)
        await #expect(throws: Refused.self) { try await server.run() }
        #expect(!server.isListening)
        await #expect(throws: Refused.self) { _ = try await server.address }
    }

    @Test func `every task that waits for a settlement gets it, but one that is cancelled`() async throws {
        let settlement = Settlement<Int>()
        let impatient = Task { try await settlement.value }
        impatient.cancel()
        await #expect(throws: CancellationError.self) { _ = try await impatient.value }
        let patient = (0..<10).map { _ in Task { try await settlement.value } }
        settlement.settle(.success(7))
        for task in patient { #expect(try await task.value == 7) }
    }
}
