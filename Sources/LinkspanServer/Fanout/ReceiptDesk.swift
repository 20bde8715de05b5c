internal import LinkspanCore
internal import LinkspanWire
internal import NIOCore

/// The publishes of one loop's clients that are not answered yet, because rules say `ack: buffered` or `ack: confirmed`.
///
/// Bounded by the connections: each is read no further while ``perConnection`` of its publishes wait. All wait equally long, so the oldest is always the
/// next whose time is over.
final class ReceiptDesk {
    /// Publishes of one connection that may wait for their answers.
    static let perConnection = 1000

    private struct Entry {
        var slot: Int
        var generation: UInt32
        var callID: CallID
        var receipt: EgressReceipt
    }

    private let loop: Unowned
    private let timeout: TimeAmount
    private var entries: [UInt64: Entry] = [:]
    /// Every number that was given out, with its deadline, oldest first; answered ones are passed over.
    private var deadlines = CircularBuffer<(number: UInt64, deadline: NIODeadline)>()
    private var lastNumber: UInt64 = 0
    private var isTimerSet = false

    /// The loop owns the desk.
    private struct Unowned {
        unowned let value: ServerLoop
    }

    init(loop: ServerLoop) {
        self.loop = Unowned(value: loop)
        self.timeout = TimeAmount(loop.context.settings.timing.receiptTimeout)
    }

    /// - Parameter bridges: at least one.
    func open(_ connection: ClientConnection, callID: CallID, bridges: [AwaitedBridge]) -> EgressReceipt {
        self.lastNumber += 1
        let number = self.lastNumber
        let inbox = self.loop.value.inbox
        let receipt = EgressReceipt(bridges) { account in
            inbox.post(.control { $0.receipts.finish(number, account) })
        }
        self.entries[number] = Entry(
            slot: connection.slot, generation: self.loop.value.shard.generation(of: connection), callID: callID,
            receipt: receipt)
        self.deadlines.append((number, .now() + self.timeout))
        self.setTimer()
        return receipt
    }

    private func finish(_ number: UInt64, _ account: EgressReceipt.Account) {
        guard let entry = self.entries.removeValue(forKey: number) else { return }
        while let first = self.deadlines.first, self.entries[first.number] == nil { self.deadlines.removeFirst() }
        if account.isReached {
            self.loop.value.counters.receiptsReached.add(1)
        } else {
            self.loop.value.counters.receiptsFailed.add(1)
        }
        self.answer(entry, account, isLate: false)
    }

    private func answer(_ entry: Entry, _ account: EgressReceipt.Account, isLate: Bool) {
        guard let connection = self.loop.value.shard.connection(entry.slot, generation: entry.generation) else {
            return
        }
        let receipt = PublishReceipt(account)
        if account.isReached {
            connection.answer(.success(entry.callID, data: receipt.json))
        } else {
            connection.answer(.failure(entry.callID, .notAcknowledged(receipt, account, isLate: isLate)))
        }
        connection.receiptAnswered()
    }

    // MARK: Time

    private func setTimer() {
        guard !self.isTimerSet, let first = self.deadlines.first else { return }
        self.isTimerSet = true
        let bound = NIOLoopBound(self, eventLoop: self.loop.value.eventLoop)
        self.loop.value.eventLoop.scheduleTask(deadline: first.deadline) { bound.value.timePassed() }
    }

    private func timePassed() {
        self.isTimerSet = false
        let now = NIODeadline.now()
        while let first = self.deadlines.first, first.deadline <= now || self.entries[first.number] == nil {
            self.deadlines.removeFirst()
            guard let entry = self.entries.removeValue(forKey: first.number) else { continue }
            self.loop.value.counters.receiptsLate.add(1)
            self.answer(entry, entry.receipt.account, isLate: true)
        }
        self.setTimer()
    }
}

@available(*, unavailable)
extension ReceiptDesk: Sendable {}
