internal import LinkspanBridgeKit
internal import NIOCore

// The bytes and the order of messages.
extension BridgeConformance {
    func checkDelivery(_ pair: Pair) async throws {
        let name = pair.names.plain("order")
        try await pair.subscribe(.exact(name))
        let texts = (0..<1_000).map { "{\"n\":\($0)}" }
        for round in stride(from: 0, to: texts.count, by: 100) {
            try await pair.send(texts[round..<round + 100].map { pair.message(name, $0) })
        }
        let received = try await pair.receiveUpTo("\"end\"", on: name)
        try requireEqual(received.map(\.text), texts + ["\"end\""])
        // What may be forgotten later still arrives now.
        var fleeting = pair.message(name, "\"fleeting\"")
        fleeting.lifetime = .seconds(60)
        try await pair.send([fleeting])
        let after = try await pair.receiveUpTo("\"last\"", on: name)
        try requireEqual(Array(after.map(\.text).suffix(2)), ["\"fleeting\"", "\"last\""])
    }

    func checkConfirmations(_ pair: Pair) async throws {
        let name = pair.names.plain("confirmed")
        try await pair.subscribe(.exact(name))
        let messages = (0..<500).map { pair.message($0 % 2 == 0 ? name : pair.names.plain("elsewhere"), "\($0)") }
        try await pair.send(messages)
        let received = try await pair.receiveUpTo("\"end\"", on: name)
        let sent = messages.filter { $0.name == name }.count + 1
        try require(
            received.count == sent,
            "\(sent) messages were confirmed to a subscribed name, and \(received.count) of them arrived")
        let inFlight = pair.sender.read { $0.inFlight.count }
        try require(inFlight == 0, "\(inFlight) messages were taken and neither confirmed nor refused")
    }

    func checkHeader(_ pair: Pair) async throws {
        guard pair.sites.sender.bridge.carriesHeader else { return }
        let name = pair.names.plain("header")
        try await pair.subscribe(.exact(name))
        let long = InstanceID(String(repeating: "x", count: 64))!
        let headers: [EnvelopeHeader?] = [
            EnvelopeHeader(
                origin: Origin(instance: InstanceID("a")!, epoch: 1, sequence: 1), hops: [InstanceID("a")!],
                acceptedAt: 0),
            EnvelopeHeader(
                origin: Origin(instance: long, epoch: 1_795_216_176_123, sequence: UInt64(Int64.max)),
                hops: (0..<16).map { InstanceID("\($0)" + long.string.dropFirst(2))! }, acceptedAt: 1_795_216_176_124),
            EnvelopeHeader(
                origin: Origin(instance: InstanceID("a-b.c_d")!, epoch: 7, sequence: 9_007_199_254_740_993), hops: [],
                acceptedAt: 1),
            nil,
        ]
        try await pair.send(headers.enumerated().map { pair.message(name, "\($0)", header: $1) })
        let received = try await pair.receiveUpTo("\"end\"", on: name)
        try require(
            received.count == headers.count + 1, "\(headers.count + 1) messages were sent and \(received.count) arrived"
        )
        for (message, header) in zip(received, headers) {
            try require(
                message.header == header,
                "sent \(header.map { "\($0)" } ?? "no header"), received \(message.header.map { "\($0)" } ?? "none")")
        }
    }

    func checkPayloads(_ pair: Pair) async throws {
        let name = pair.names.plain("payload")
        try await pair.subscribe(.exact(name))
        var payloads = [
            "0", "null", "\"\"", " [ 1 , 2 ] ", "{\"a\":{\"b\":\"\\u0000\"}}", "\"caf\u{E9} \u{1F680} \u{2028}\"",
            "\"\u{7F}\"",
            "\"" + String(repeating: "x", count: 65_534) + "\"", "\"%s%n$1\r\n*1\"",
        ].map { ByteBuffer(string: $0) }
        if self.carriesBinary {
            payloads.append(ByteBuffer(bytes: 0...255))
            payloads.append(ByteBuffer(bytes: [0, 0, 0xFF, 0xFE, 0xC0, 0x80]))
        }
        var messages = payloads.map { pair.message(name, $0) }
        if pair.sites.sender.bridge.carriesHeader {
            // A publish without data: only the header tells it from nothing at all.
            let origin = Origin(instance: InstanceID("a")!, epoch: 1, sequence: 1)
            messages.append(
                pair.message(
                    name, ByteBuffer(), header: EnvelopeHeader(origin: origin, hops: [origin.instance], acceptedAt: 1)))
        }
        try await pair.send(messages)
        let received = try await pair.receiveUpTo("\"end\"", on: name).dropLast()
        try require(
            received.count == messages.count, "\(messages.count) messages were sent and \(received.count) arrived")
        for (message, sent) in zip(received, messages) {
            try require(
                message.payload == sent.payload, "sent \(brief(sent.payload)) and received \(brief(message.payload))")
        }
    }

    func checkNames(_ pair: Pair) async throws {
        let names = Set(TestNames.awkward.compactMap(pair.names.encode).map(Name.init))
        pair.receiver.add(interest: names.map { .subscribe(.exact($0.string)) })
        try await pair.subscribe(.exact(pair.names.plain("end")))
        let count = names.count + 1
        try await pair.receiver.wait(for: "\(count) names to settle", atMost: self.patience) {
            $0.settled.count == count
        }
        let refused = pair.receiver.read { state in state.settled.filter { !$0.value }.map(\.key) }
        try require(refused.isEmpty, "the upstream refused to subscribe to \(refused)")
        try await pair.send(names.enumerated().map { pair.message($1.string, "\($0)") })
        try await pair.receiver.wait(for: "a message for each of \(names.count) names", atMost: self.patience) {
            $0.received.count >= names.count
        }
        let received = pair.receiver.read { $0.received }
        let expected = Dictionary(uniqueKeysWithValues: names.enumerated().map { (Name($1.string), "\($0)") })
        try require(received.count == names.count, "\(names.count) messages were sent and \(received.count) arrived")
        for message in received {
            try require(
                expected[Name(message.name)] == message.text,
                "message \(message.text) arrived under the name \(message.name.debugDescription)")
        }
    }

    func checkWakes(_ pair: Pair) async throws {
        let name = pair.names.plain("wakes")
        try await pair.subscribe(.exact(name))
        let rounds = 100
        try await withThrowingTaskGroup(of: Void.self) { group in
            for sender in 0..<8 {
                group.addTask {
                    for round in 0..<rounds {
                        let payload = ByteBuffer(string: "[\(sender),\(round)]")
                        let ticket = pair.sites.sender.withNextTicket { ticket in
                            pair.sender.add(
                                egress: [EgressMessage(ticket: ticket, name: name, payload: payload, header: nil)])
                            return ticket
                        }
                        // Waiting for every fifth lets the bridge run out of work between, which is when a wake-up can be lost.
                        if round % 5 == 4 {
                            try await pair.sender.wait(for: "a confirmation", atMost: pair.patience) {
                                $0.confirmed.contains(ticket)
                            }
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
        let received = try await pair.receiveUpTo("\"end\"", on: name).map(\.text)
        for sender in 0..<8 {
            let own = received.filter { $0.hasPrefix("[\(sender),") }
            try requireEqual(own, (0..<rounds).map { "[\(sender),\($0)]" })
        }
    }

    func checkBackpressure(_ pair: Pair) async throws {
        let name = pair.names.plain("backpressure")
        try await pair.subscribe(.exact(name))
        pair.receiver.holdDeliveries()
        let rounds = 4 * self.batchLimit
        for round in 0..<rounds {
            try await pair.send((0..<20).map { pair.message(name, "[\(round),\($0)]") })
        }
        try await pair.receiver.wait(for: "a delivery", atMost: self.patience) { $0.mostBatchesHeld > 0 }
        let most = pair.receiver.read { $0.mostBatchesHeld }
        try require(most <= self.batchLimit, "\(most) batches were under way while the server had taken none")
        pair.receiver.releaseDeliveries()
        let received = try await pair.receiveUpTo("\"end\"", on: name).map(\.text)
        let expected = (0..<rounds).flatMap { round in (0..<20).map { "[\(round),\($0)]" } } + ["\"end\""]
        try requireEqual(received, expected)
    }
}

/// A name compared by its bytes, as upstreams do; `String` calls canonically equivalent ones equal.
private struct Name: Hashable, Sendable {
    let string: String
    private let bytes: [UInt8]

    init(_ string: String) {
        self.string = string
        self.bytes = Array(string.utf8)
    }

    static func == (one: Name, other: Name) -> Bool { one.bytes == other.bytes }
    func hash(into hasher: inout Hasher) { hasher.combine(self.bytes) }
}

/// Requires the same texts in the same order, and says in which way they differ.
func requireEqual(_ seen: [String], _ expected: [String]) throws(Finding) {
    if seen == expected { return }
    let missing = Set(expected).subtracting(seen)
    if !missing.isEmpty {
        throw Finding(
            "\(missing.count) of \(expected.count) did not arrive, such as \(missing.first { _ in true } ?? "")")
    }
    let foreign = Set(seen).subtracting(expected)
    if let one = foreign.first {
        throw Finding("\(foreign.count) arrived that were not expected, such as \(one.prefix(80))")
    }
    if seen.count != expected.count { throw Finding("\(expected.count) were sent once and \(seen.count) arrived") }
    let index = zip(seen, expected).enumerated().first { $1.0 != $1.1 }!.offset
    throw Finding("out of order: \(expected[index]) was sent as number \(index), and \(seen[index]) arrived there")
}

private func brief(_ payload: ByteBuffer) -> String {
    "\(payload.readableBytes) bytes beginning \(Array(payload.readableBytesView.prefix(16)))"
}
