import LinkspanBridgeKit
import LinkspanCore
import LinkspanServer
import LinkspanWire
import NIOCore
import TestSupport
import Testing

/// Whatever clients send in whatever pieces, and however long middleware takes, each client sees what one that is asked about nothing would.
@Suite struct `Middleware under random traffic` {
    /// What becomes of publish number `number`, by its last digit.
    private enum Fate {
        case passes, replaced, blocked

        init(_ number: Int) {
            switch number % 10 {
            case 3, 6: self = .replaced
            case 5: self = .blocked
            default: self = .passes
            }
        }

        func answer(_ callID: Int) -> String {
            self == .blocked ? #"{"rid":\#(callID),"error":"no"}"# : #"{"rid":\#(callID)}"#
        }

        func delivery(_ number: Int) -> String? {
            switch self {
            case .passes: RawClient.delivery("a", "\(number)")
            case .replaced: RawClient.delivery("a", #""\#(number)""#)
            case .blocked: nil
            }
        }
    }

    private static func configure(_ app: inout Application, seed: UInt64, asksRaw: Bool) {
        app.middleware.actions = [.message, .subscribe, .publishIn, .publishOut]
        app.middleware.timeLimit = .seconds(60)
        if asksRaw {
            app.middleware.inboundRaw = { action in
                if case .text(let text) = action.message { await Self.dawdle(seed ^ UInt64(text.utf8.count)) }
                return .allow
            }
        }
        app.middleware.inbound = { action in
            guard case .publishIn(_, let data) = action.kind, let text = data?.description, let number = Int(text)
            else { return .allow }
            await Self.dawdle(seed ^ UInt64(number))
            return switch Fate(number) {
            case .passes: .allow
            case .replaced: .replace(data: JSONText(string: text))
            case .blocked: .block(ErrorValue("no"))
            }
        }
        app.middleware.outbound = { action in
            await Self.dawdle(seed ^ UInt64(action.data?.utf8.count ?? 0))
            return .allow
        }
    }

    /// Lets others run for a while that is the same whenever the test is repeated.
    private static func dawdle(_ seed: UInt64) async {
        for _ in 0..<((seed &* 0x9E37_79B9_7F4A_7C15) >> 61) { await Task.yield() }
    }

    @Test(arguments: [false, true])
    func `answers and deliveries come in the order of what was sent`(asksRaw: Bool) async throws {
        var random = SeededRandom()
        let seed = random.next()
        try await withServer(application: Application { Self.configure(&$0, seed: seed, asksRaw: asksRaw) }) {
            _, address in
            let subscriber = try await RawClient.ready(address)
            try await subscriber.subscribe("a")
            let publisher = try await RawClient.ready(address)
            let numbers = Array(0..<300)
            for piece in Self.pieces(of: Self.bytes(of: numbers, &random), &random) {
                try await publisher.send(bytes: piece)
            }
            for number in numbers {
                #expect(try await publisher.nextText() == Fate(number).answer(number + 2))
            }
            for expected in numbers.compactMap({ Fate($0).delivery($0) }) {
                #expect(try await subscriber.nextText() == expected)
            }
        }
    }

    @Test func `connections that end at any moment leave nothing behind`() async throws {
        var random = SeededRandom()
        let seed = random.next()
        try await withServer(application: Application { Self.configure(&$0, seed: seed, asksRaw: true) }) {
            server, address in
            let witness = try await RawClient.ready(address)
            try await witness.subscribe("a")
            for round in 0..<40 {
                let client = try await RawClient.ready(address)
                try await client.send(##"{"event":"#subscribe","data":{"channel":"a"},"cid":2}"##)
                let bytes = Self.bytes(of: Array(round * 10..<round * 10 + 10), &random)
                switch round % 3 {
                case 0:
                    // Perhaps in the middle of a frame.
                    try await client.send(bytes: Array(bytes.prefix(Int.random(in: 0...bytes.count, using: &random))))
                    try await client.disconnect()
                case 1:
                    try await client.send(bytes: bytes)
                    try await client.close()
                default:
                    try await client.send(bytes: bytes + [0xFF, 0xFF])
                }
                if round % 3 != 0 { try await client.disconnected() }
            }
            try await witness.publish("a", "9001", callID: 7)
            _ = try await witness.nextText("own publish") { $0 == RawClient.delivery("a", "9001") }
            _ = try await eventually("the end of the others") { server.counters.connectionsOpen == 1 ? true : nil }
            #expect(server.counters.subscriptions == 1)
            #expect(await server.sockets.count == 1)
            #expect(server.counters.decisionsTimedOut == 0)
        }
    }

    /// Publishes of `numbers`, one frame for each or for a batch of them.
    private static func bytes(of numbers: [Int], _ random: inout SeededRandom) -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = numbers[...]
        while !rest.isEmpty {
            let batch = rest.prefix(Int.random(in: 1...8, using: &random))
            rest = rest.dropFirst(batch.count)
            let packets = batch.map { RawClient.publish("a", "\($0)", callID: $0 + 2) }
            let text = packets.count == 1 ? packets[0] : "[" + packets.joined(separator: ",") + "]"
            bytes += RawClient.frame(.text, Array(text.utf8))
        }
        return bytes
    }

    private static func pieces(of bytes: [UInt8], _ random: inout SeededRandom) -> [[UInt8]] {
        var pieces: [[UInt8]] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            let piece = rest.prefix(Int.random(in: 1...2000, using: &random))
            rest = rest.dropFirst(piece.count)
            pieces.append(Array(piece))
        }
        return pieces
    }
}
