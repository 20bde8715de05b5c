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
            for client in clients { _ = try await client.nextText { $0 == RawClient.delivery("news", #"{"n":1}"#) } }
            _ = try await clients[0].log.first("acknowledgement") { $0 == .text(#"{"rid":7}"#) }
            #expect(server.counters.deliveries == 9)
            #expect(server.counters.publishesReceived == 1)
        }
    }

    @Test(arguments: [1, 3])
    func `pipelined publishes arrive in order per channel, and their acknowledgements in order`(
        loops: Int
    ) async throws {
        try await withServer({ $0.eventLoops = loops }) { _, address in
            let subscribers = [try await RawClient.ready(address), try await RawClient.ready(address)]
            for subscriber in subscribers {
                try await subscriber.subscribe("even")
                try await subscriber.subscribe("odd")
            }
            let publisher = try await RawClient.ready(address)
            let count = 1000
            try await publisher.send(
                all: (1...count).map { RawClient.publish($0 % 2 == 0 ? "even" : "odd", "\($0)", callID: $0) })
            for subscriber in subscribers {
                try await subscriber.log.wait(count: 4 + count, "delivery")
                for (channel, remainder) in [("even", 0), ("odd", 1)] {
                    let expected = (1...count).filter { $0 % 2 == remainder }.map {
                        RawClient.delivery(channel, "\($0)")
                    }
                    #expect(subscriber.texts.filter { $0.contains(#""\#(channel)""#) } == expected)
                }
            }
            try await publisher.log.wait(count: 2 + count, "acknowledgement")
            #expect(publisher.texts.dropFirst() == (1...count).map { #"{"rid":\#($0)}"# }[...])
        }
    }

    @Test func `two publishers are seen in one order by everybody`() async throws {
        try await withServer({ $0.eventLoops = 3 }) { _, address in
            var subscribers: [RawClient] = []
            for _ in 0..<4 {
                subscribers.append(try await RawClient.ready(address))
                try await subscribers.last?.subscribe("news")
            }
            let publishers = [try await RawClient.ready(address), try await RawClient.ready(address)]
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (name, publisher) in zip(["a", "b"], publishers) {
                    group.addTask {
                        for number in 0..<300 { try await publisher.publish("news", #""\#(name)\#(number)""#) }
                    }
                }
                try await group.waitForAll()
            }
            for subscriber in subscribers { try await subscriber.log.wait(count: 3 + 600, "delivery") }
            for subscriber in subscribers {
                #expect(subscriber.texts.dropFirst(2) == subscribers[0].texts.dropFirst(2))
            }
            #expect(Set(subscribers[0].texts).count == 2 + 600)
        }
    }

    @Test
    func `what is published right behind a subscription on one socket comes back, what is published before does not`()
        async throws
    {
        try await withServer({ $0.eventLoops = 4 }) { _, address in
            for number in 0..<20 {
                let client = try await RawClient.ready(address)
                let channel = "room/\(number)"
                try await client.send(all: [
                    RawClient.publish(channel, "0"),
                    ##"{"event":"#subscribe","data":{"channel":"\##(channel)"},"cid":2}"##,
                    RawClient.publish(channel, "1"),
                    ##"{"event":"#publish","data":{"channel":"\##(channel)","data":2},"cid":3}"##,
                ])
                _ = try await client.nextText { $0 == RawClient.delivery(channel, "2") }
                _ = try await client.log.first("acknowledgement") { $0 == .text(#"{"rid":3}"#) }
                let deliveries = client.texts.filter { $0.contains("#publish") }
                #expect(deliveries == [RawClient.delivery(channel, "1"), RawClient.delivery(channel, "2")])
                try await client.disconnect()
            }
        }
    }

    @Test func `nothing arrives after the answer to an unsubscription`() async throws {
        try await withServer { server, address in
            let client = try await RawClient.ready(address)
            let other = try await RawClient.ready(address)
            try await other.subscribe("news")
            for round in 1...50 {
                try await client.subscribe("news", callID: round * 2)
                try await client.publish("news", "\(round)")
                try await client.send(##"{"event":"#unsubscribe","data":"news","cid":\##(round * 2 + 1)}"##)
                _ = try await client.nextText { $0 == #"{"rid":\#(round * 2 + 1)}"# }
                let known = client.texts.count
                try await other.publish("news", "\"late\"", callID: round)
                try await other.log.wait(count: 3 + round * 3, "message of ours and acknowledgement")
                #expect(client.texts.count == known)
            }
            #expect(server.counters.subscriptions == 1)
        }
    }

    @Test func `data is delivered byte for byte`() async throws {
        try await withServer { _, address in
            let client = try await RawClient.ready(address)
            try await client.subscribe("a\\\"b")
            for data in [#"{ "a" : 1.0 , "a" : 1e3 }"#, "null", #""\u00e9\ud800""#, "12345678901234567890", "[ ]"] {
                try await client.publish("a\\\"b", data)
                #expect(try await client.nextText { $0.contains("#publish") } == RawClient.delivery("a\\\"b", data))
            }
            try await client.send(##"{"event":"#publish","data":{"channel":"a\"b"}}"##)
            #expect(try await client.nextText() == ##"{"event":"#publish","data":{"channel":"a\"b"}}"##)
        }
    }

    @Test func `a large message is framed whole`() async throws {
        try await withServer { _, address in
            let client = try await RawClient.ready(address)
            try await client.subscribe("big")
            for size in [10, 100, 126, 60_000, 70_000, 900_000] {
                let data = "\"" + String(repeating: "x", count: size) + "\""
                try await client.publish("big", data)
                #expect(try await client.nextText() == RawClient.delivery("big", data))
            }
        }
    }

    @Test(arguments: [1, 2]) func `a slow subscriber is closed and the others still receive`(loops: Int) async throws {
        try await withServer({
            $0.eventLoops = loops
            $0.limits.outboundBytes = 256 << 10
        }) { server, address in
            let slow = try await RawClient.ready(address)
            try await slow.subscribe("news")
            let fast = try await RawClient.ready(address)
            try await fast.subscribe("news")
            try await slow.setReading(false)
            let data = "\"" + String(repeating: "x", count: 100_000) + "\""
            var count = 0
            while server.counters.slowSubscribersClosed == 0 {
                try await fast.publish("news", data, callID: count)
                let callID = count
                _ = try await fast.next("acknowledgement") { $0 == .text(#"{"rid":\#(callID)}"#) }
                count += 1
                try #require(count < 1000, "the sockets' own buffers are far smaller")
            }
            let published = count
            try await fast.log.wait(count: 3 + published * 2, "deliveries")
            #expect(fast.texts.filter { $0.contains("#publish") }.count == published)
            try await slow.setReading(true)
            #expect(try await slow.closeCode() == 4100)
            let received = slow.texts.filter { $0.contains("#publish") }
            #expect(received.allSatisfy { $0 == RawClient.delivery("news", data) }, "what did arrive is whole")
            #expect(server.counters.slowSubscribersClosed == 1)
        }
    }

    @Test func `a publisher who does not read its acknowledgements is read no further`() async throws {
        try await withServer({
            $0.eventLoops = 1
            $0.limits.outboundBytes = 64 << 10
        }) { server, address in
            let client = try await RawClient.ready(address)
            try await client.setReading(false)
            let texts = (1...1000).map { RawClient.publish("news", "1", callID: $0) }
            let writing = Task { for _ in 0..<400 { try await client.send(all: texts) } }
            // Far fewer acknowledgements than these fit into the sockets' buffers; the rest waits at the client.
            _ = try await eventually("publishes being held back") { () -> Bool? in
                let before = server.counters.publishesReceived
                try await Task.sleep(for: .milliseconds(100))
                return before > 0 && server.counters.publishesReceived == before ? true : nil
            }
            #expect(server.counters.publishesReceived < 400_000)
            #expect(server.counters.slowSubscribersClosed == 0)
            try await client.setReading(true)
            try await writing.value
            try await client.log.wait(count: 2 + 400_000, within: .seconds(60), "acknowledgement")
            #expect(client.texts.last == #"{"rid":1000}"#)
        }
    }

    @Test func `a rate slows a publisher and loses nothing`() async throws {
        try await withServer({
            $0.limits.publishesPerSecond = 100
        }) { server, address in
            let client = try await RawClient.ready(address)
            try await client.subscribe("news")
            let started = ContinuousClock.now
            try await client.send(all: (1...200).map { RawClient.publish("news", "\($0)") })
            _ = try await client.log.first("last delivery") { $0 == .text(RawClient.delivery("news", "200")) }
            #expect(ContinuousClock.now - started > .milliseconds(900))
            #expect(server.counters.ratePauses > 0)
            #expect(
                client.texts.filter { $0.contains("#publish") } == (1...200).map { RawClient.delivery("news", "\($0)") }
            )
        }
    }
}
