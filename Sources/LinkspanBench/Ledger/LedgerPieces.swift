internal import LinkspanBridgeKit
internal import LinkspanCore
internal import NIOCore

/// The pieces of identity, ledger, window and repair, as the server puts them together, on one thread and without a network.
struct LedgerPieces {
    /// Messages of one turn.
    private static let batch = 64
    private static let epoch: UInt64 = 1_795_216_176_123
    private static let now = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    private let ours = InstanceID("bench-a")!
    private let other = InstanceID("bench-b")!
    private let payload = ByteBuffer(bytes: Stamp(stream: 1, sequence: 2, due: 3).payload(size: 128))

    var all: [LedgerPiece] {
        [
            self.identity, self.departure, self.egress(.atMostOnce), self.arrival, self.loops,
            self.window(origins: 1), self.ingress, self.window(origins: 16), self.egress(.atLeastOnce), self.memory,
            self.receipt, self.envelope, self.lateness, self.marks, self.probes,
        ]
    }

    /// The channel's next number, and the header that carries it.
    private var identity: LedgerPiece {
        var sequence: UInt64 = 0
        let hops = [self.ours]
        var header: EnvelopeHeader?
        return LedgerPiece(
            name: "identity", title: "number it and make its header", place: .egress
        ) { keep in
            sequence += 1
            header = EnvelopeHeader(
                origin: Origin(instance: self.ours, epoch: Self.epoch, sequence: sequence), hops: hops,
                acceptedAt: 1_795_216_180_456)
            keep += header == nil ? 0 : 1
        }
    }

    /// Looked at when a bridge takes it over and again when it leaves.
    private var departure: LedgerPiece {
        let hopGuard = HopGuard(instance: self.ours)
        let header = self.header(1)
        return LedgerPiece(name: "hops-out", title: "count its hops and add ours", place: .egress) { keep in
            keep += hopGuard.leavingHops(header) <= 4 ? 1 : 0
            keep += hopGuard.leaving(header).hops.count
        }
    }

    /// Accepted, buffered, in flight and confirmed: a queue with tickets is needed anyhow, and its account is kept on the way.
    private func egress(_ guarantee: Guarantee) -> LedgerPiece {
        var buffer = EgressBuffer(settings: BufferSettings(), guarantee: guarantee)
        let message = BufferedEnvelope(
            name: "sc/c0", data: self.payload, header: self.header(1), acceptedAt: Self.now)
        let isDefault = guarantee == .atMostOnce
        return LedgerPiece(
            name: isDefault ? "ledger-out" : "ledger-out-kept",
            title: "pass it through the buffer and keep its account"
                + (isDefault ? "" : ", with `guarantee: at_least_once` (in place of the above)"),
            place: isDefault ? .egress : .chosen, operations: Self.batch
        ) { keep in
            for _ in 0..<Self.batch { buffer.append(message) }
            var first: UInt64?
            var last: UInt64 = 0
            _ = buffer.take(upTo: Self.batch, at: Self.now) { ticket, envelope in
                first = first ?? ticket
                last = ticket
                keep += envelope.data.readableBytes
            }
            if let first { buffer.confirm(first...last) }
        }
    }

    /// As MQTT and AMQP carry it, beside the payload.
    private var arrival: LedgerPiece {
        var reader = HeaderReader()
        let text = Array("bench-b/1795216176123/123456/1795216180456".utf8)
        return LedgerPiece(name: "header-in", title: "read its header", place: .ingress) { keep in
            text.withUnsafeBytes { keep += reader.header($0)?.hops.count ?? 0 }
        }
    }

    private var loops: LedgerPiece {
        let hopGuard = HopGuard(instance: self.ours)
        let header = self.header(1, of: self.other)
        return LedgerPiece(name: "loops", title: "see whether it has been here before", place: .ingress) { keep in
            keep += hopGuard.judge(header, limit: 4) == .passes ? 1 : 0
        }
    }

    /// In order, one origin after the other.
    private func window(origins count: UInt64) -> LedgerPiece {
        var windows = OriginWindows()
        var origins = (0..<count).map { Origin(instance: self.other, epoch: Self.epoch + $0, sequence: 0) }
        var next = 0
        return LedgerPiece(
            name: count == 1 ? "window" : "window-\(count)",
            title: "look its number up in the window of its origin"
                + (count == 1 ? "" : ", where \(count) publish into the channel in turns (in place of the above)"),
            place: count == 1 ? .ingress : .chosen
        ) { keep in
            origins[next].sequence += 1
            if windows.judge(origins[next], isDirect: true, at: Self.now) == .fresh(gap: nil) { keep += 1 }
            next = next + 1 == origins.count ? 0 : next + 1
        }
    }

    private var ingress: LedgerPiece {
        var ledger = IngressLedger()
        return LedgerPiece(
            name: "ledger-in", title: "keep its account, for batches of \(Self.batch)", place: .ingress,
            operations: Self.batch
        ) { keep in
            ledger.received += UInt64(Self.batch)
            ledger.held += UInt64(Self.batch)
            var tally = IngressTally()
            for _ in 0..<Self.batch { tally.delivered += 1 }
            ledger.settle(tally, of: Self.batch)
            keep += Int(truncatingIfNeeded: ledger.delivered)
        }
    }

    /// Full, as after some seconds of traffic: for each message one is forgotten.
    private var memory: LedgerPiece {
        var settings = RepairSettings()
        settings.sizeBytes = 4 << 20
        var memory = RepairMemory(settings: settings)
        var sequence: UInt64 = 0
        func remember() {
            sequence += 1
            memory.remember("sc/c0", self.header(sequence), ByteBuffer(self.payload.readableBytesView), at: Self.now)
        }
        while memory.usedBytes + 512 < settings.sizeBytes { remember() }
        return LedgerPiece(
            name: "repair-memory", title: "remember it, with `repair`", place: .chosen
        ) { keep in
            remember()
            keep += memory.count
        }
    }

    /// One message that its publisher waits for.
    private var receipt: LedgerPiece {
        let bridge = AwaitedBridge(index: BridgeIndex(0), name: "shared", level: .confirmed)
        return LedgerPiece(
            name: "receipt", title: "follow it until the broker has it, with `ack: confirmed`", place: .chosen
        ) { keep in
            let receipt = EgressReceipt([bridge]) { _ in }
            receipt.numbered(self.header(7).origin)
            receipt.note(.buffered, at: bridge.index)
            receipt.note(.confirmed, at: bridge.index)
            keep += receipt.account.isReached ? 1 : 0
        }
    }

    /// What Redis and MQTT 3.1.1 carry in place of header fields: written once, and read instead of a bare payload.
    private var envelope: LedgerPiece {
        let codec = EnvelopeCodec(dataLimit: 1 << 20, jsonDepth: 128)
        let header = self.header(123_456, of: self.other)
        var bytes = ByteBuffer()
        return LedgerPiece(
            name: "envelope", title: "write its JSON envelope and read it, for Redis and MQTT 3.1.1", place: .chosen
        ) { keep in
            bytes.clear()
            EnvelopeCodec.encode(header, data: self.payload, into: &bytes)
            if case .envelope = codec.decode(bytes, header: nil) { keep += 1 }
        }
    }

    /// Every second message overtakes the one before it.
    private var lateness: LedgerPiece {
        var windows = OriginWindows()
        var origin = Origin(instance: self.other, epoch: Self.epoch, sequence: 0)
        _ = windows.judge(origin, isDirect: true, at: Self.now)
        return LedgerPiece(
            name: "late", title: "look up two numbers that come in the wrong order", place: .beside
        ) { keep in
            origin.sequence += 2
            _ = windows.judge(origin, isDirect: true, at: Self.now)
            origin.sequence -= 1
            if windows.judge(origin, isDirect: true, at: Self.now) == .late { keep += 1 }
            origin.sequence += 1
        }
    }

    /// Once for each channel that goes quiet; a busy one pays nothing.
    private var marks: LedgerPiece {
        var book = MarkBook()
        let channel = ChannelName("c0")
        var now = Self.now
        var sequence: UInt64 = 0
        return LedgerPiece(
            name: "mark", title: "tell receivers how far a channel got that went quiet", place: .beside
        ) { keep in
            sequence += 1
            now = now + .seconds(1)
            book.note(SequenceMark(channel: channel, origin: self.header(sequence).origin), at: now)
            let marks = book.takeDue(upTo: MarkMessage.markLimit, at: now)
            keep += MarkMessage(sender: self.ours, marks: marks).json.readableBytes
        }
    }

    /// Every `probe.every`, 5 s by default, however many messages there are.
    private var probes: LedgerPiece {
        let life = InstanceLife(instance: self.ours, epoch: Self.epoch, nonce: 1)
        let abilities = ProbeTable.Abilities(sends: true, receives: true, isAnswered: false, publishes: true)
        var table = ProbeTable(
            life: life, bridge: "shared", settings: ProbeSettings(every: .seconds(5), deadline: .seconds(15)),
            abilities: abilities)
        var now = Self.now
        table.linkUp(abilities, at: now)
        return LedgerPiece(
            name: "probe", title: "send a probe and hear it come back", place: .beside
        ) { keep in
            now = now + .seconds(5)
            let probe = table.next(ticket: 1, at: now)
            guard let heard = Probe(header: probe.header(at: 1), data: probe.json) else { return }
            keep += table.heard(heard, sentAt: 1, at: now) == nil ? 1 : 2
        }
    }

    private func header(_ sequence: UInt64, of instance: InstanceID? = nil) -> EnvelopeHeader {
        let instance = instance ?? self.ours
        return EnvelopeHeader(
            origin: Origin(instance: instance, epoch: Self.epoch, sequence: sequence), hops: [instance],
            acceptedAt: 1_795_216_180_456)
    }
}
