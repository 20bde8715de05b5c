import LinkspanCore
import LinkspanServer
import TestSupport
import Testing

@Suite struct FanoutTests {
    @Test(arguments: [1, 4]) func `a publish reaches every subscriber on every loop, the publisher included`(
        loops: Int
    ) async throws {
        try await withServer({ $0.eventLoops = loops }) { server, address in
            var clients: [RawClient] = []
            for _ in 0..<9 { clients.append(try await RawClient.ready(address)) }
            for client in clients { try await client.subscribe("news") }
            try await clients[0].publish("news", #"{"n":1}"#, callID: 7)
            let copy = ##"{"event":"#publish","data":{"channel":"news","data":{"n":1}}}"##
            for client in clients { _ = try await client.nextText { $0 == copy } }
            #expect(clients[0].texts.contains(#"{"rid":7}"#))
            #expect(server.counters.deliveries == 9)
            #expect(server.counters.publishesReceived == 1)
        }
    }
}
