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
}
