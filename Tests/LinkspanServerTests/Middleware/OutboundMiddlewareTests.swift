import LinkspanBridgeKit
import LinkspanCore
import LinkspanServer
import LinkspanWire
import NIOCore
import TestSupport
import Testing

@Suite struct `Middleware of what subscribers get` {
    @Test func `decides for each subscriber what it gets, whoever published it and whatever it reads`() async throws {
        try await withApplicationServer(.auto) { app in
            app.middleware.outbound = { action in
                let isOpen = action.socket.request.field("x-role") == "guest"
                switch action.data?.description {
                case "1" where isOpen: return .block
                case "2" where isOpen: return .replace(data: JSONText(string: "less"))
                case "3" where isOpen: throw TestMiddleware.Secret()
                default: return .allow
                }
            }
        } _: { server, address in
            let member = try await RawClient.ready(address)
            let guest = try await RawClient.open(address, fields: "X-Role: guest\r\n")
            try await guest.send(##"{"event":"#handshake","cid":1}"##)
            _ = try await guest.nextText("handshake's answer")
            let compact = try await MinBinClient.open(address, fields: "X-Role: guest\r\n")
            try await compact.sends(packet: ##"{"event":"#subscribe","data":{"channel":"a"},"cid":2}"##)
            _ = try await compact.nextPacket()
            for client in [member, guest] { try await client.subscribe("a") }

            let publisher = try await RawClient.ready(address)
            for number in 1...4 { try await publisher.publish("a", "\(number)", callID: number + 1) }
            for number in 1...4 { #expect(try await publisher.nextText() == #"{"rid":\#(number + 1)}"#) }
            server.broker.exchange("a", JSONText(string: "from us"))
            server.broker.publish("a", nil)

            let ends = [RawClient.delivery("a", #""from us""#), ##"{"event":"#publish","data":{"channel":"a"}}"##]
            for expected in (1...4).map({ RawClient.delivery("a", "\($0)") }) + ends {
                #expect(try await member.nextText() == expected)
            }
            for expected in [RawClient.delivery("a", #""less""#), RawClient.delivery("a", "4")] + ends {
                #expect(try await guest.nextText() == expected)
                // MessagePack has no publish without data.
                let packed = expected == ends[1] ? RawClient.delivery("a", "null") : expected
                #expect(try await compact.nextPacket() == packed)
            }
            #expect(server.counters.deliveriesBlocked == 4)
            #expect(server.counters.deliveries == 14)
        }
    }

    @Test func `keeps a slow decision about one subscriber to that one, in order and in time`() async throws {
        let gate = Gate()
        try await withApplicationServer { app in
            app.middleware.outbound = { action in
                if action.socket.request.field("x-slow") != nil { await gate.passes() }
                return .allow
            }
        } _: { server, address in
            let slow = try await RawClient.open(address, fields: "X-Slow: yes\r\n")
            try await slow.send(##"{"event":"#handshake","cid":1}"##)
            _ = try await slow.nextText("handshake's answer")
            let fast = try await RawClient.ready(address)
            for client in [slow, fast] { for channel in ["a", "b"] { try await client.subscribe(channel) } }
            for number in 0..<20 { try await fast.publish(number % 2 == 0 ? "a" : "b", "\(number)") }
            for _ in 0..<20 { _ = try await fast.nextText() }
            // What it has left, it gets nothing from any more.
            try await slow.send(##"{"event":"#unsubscribe","data":"b","cid":3}"##)
            #expect(try await slow.nextText() == #"{"rid":3}"#)
            gate.open()
            for number in 0..<10 { #expect(try await slow.nextText() == RawClient.delivery("a", "\(number * 2)")) }
        }
    }

    @Test func `blocks a publish that nobody decides about in time`() async throws {
        let gate = Gate()
        try await withApplicationServer { app in
            app.middleware.timeLimit = .milliseconds(50)
            app.middleware.actions = [.publishOut]
            app.middleware.outbound = { _ in
                await gate.passes()
                return .allow
            }
        } _: { server, address in
            let client = try await RawClient.ready(address)
            try await client.subscribe("a")
            try await client.publish("a", "1", callID: 2)
            try await client.publish("a", "2", callID: 3)
            _ = try await eventually("two publishes blocked") { server.counters.deliveriesBlocked == 2 ? true : nil }
            #expect(server.counters.decisionsTimedOut == 2)
            gate.open()
            try await client.send(##"{"event":"#unsubscribe","data":"a","cid":4}"##)
            _ = try await client.nextText("answer") { $0 == #"{"rid":4}"# }
            #expect(!client.texts.contains { $0.contains("#publish") })
        }
    }

    @Test func `asks about the channels that it was told to ask about, and keeps the order with others`() async throws {
        let channels = try [Glob("asked/*")]
        try await withApplicationServer { app in
            app.middleware.channels = channels
            app.middleware.actions = [.publishIn, .publishOut]
            app.middleware.inbound = { action in
                guard case .publishIn(_, let data) = action.kind else { return .allow }
                return .replace(data: JSONText(string: "in \(data?.description ?? "")"))
            }
            app.middleware.outbound = { action in
                await Task.yield()
                return action.data?.description == #""in 2""# ? .block : .allow
            }
        } _: { _, address in
            let subscriber = try await RawClient.ready(address)
            for channel in ["asked/a", "free"] { try await subscriber.subscribe(channel) }
            let publisher = try await RawClient.ready(address)
            for number in 1...6 {
                try await publisher.publish(number % 2 == 0 ? "asked/a" : "free", "\(number)", callID: number + 1)
                // One channel after the other: owners of two have no order between them.
                if number != 2 { _ = try await subscriber.nextText("publish \(number)") { $0.contains("\(number)") } }
            }
            #expect(
                subscriber.texts.filter { $0.contains("#publish") }
                    == [1, 3, 4, 5, 6].map { number in
                        number % 2 == 0
                            ? RawClient.delivery("asked/a", "\"in \(number)\"")
                            : RawClient.delivery("free", "\(number)")
                    })
        }
    }

    @Test func `closes a subscriber for which more waits than may, and nobody else`() async throws {
        let gate = Gate()
        try await withApplicationServer { app in
            app.middleware.outbound = { action in
                if action.socket.request.field("x-slow") != nil { await gate.passes() }
                return .allow
            }
        } change: { settings in
            settings.limits.outboundBytes = 10_000
        } _: { server, address in
            let slow = try await RawClient.open(address, fields: "X-Slow: yes\r\n")
            try await slow.send(##"{"event":"#handshake","cid":1}"##)
            _ = try await slow.nextText("handshake's answer")
            try await slow.subscribe("a")
            let fast = try await RawClient.ready(address)
            try await fast.subscribe("a")
            let data = JSONText(string: String(repeating: "x", count: 1000))
            for number in 0..<12 {
                try await fast.publish("a", data.description, callID: 10 + number)
                for _ in 0..<2 { _ = try await fast.nextText() }
            }
            #expect(try await slow.closeCode() == 4100)
            #expect(server.counters.slowSubscribersClosed == 1)
            try await fast.publish("a", "2", callID: 3)
            _ = try await fast.nextText("publish") { $0 == RawClient.delivery("a", "2") }
            gate.open()
        }
    }
}
