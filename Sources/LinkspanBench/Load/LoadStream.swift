internal import Synchronization

/// One publisher's messages on one channel, as the threads share them.
///
/// The owner thread sends; every thread with subscribers of the channel says how far all of them have come.
final class LoadStream: Sendable {
    /// All subscribers of one thread have every message below this number.
    private final class Progress: Sendable {
        let value = Atomic<UInt64>(0)
    }

    let channel: Int
    let owner: Int
    private let template: PublishTemplate
    /// What each `askEvery`th publish is made of: it asks for an acknowledgement.
    private let asking: PublishTemplate
    private let askEvery: UInt64
    /// Subscribers at each thread.
    let subscribers: [Int]
    private let progress: [Progress]
    /// Written by the owner when it has stopped.
    let sent = Atomic<UInt64>(0)

    init(_ plan: LoadPlan, number: Int, owner: Int, subscribers: [Int]) {
        self.channel = number
        self.owner = owner
        let template = { isCall in
            PublishTemplate(
                plan.dialect, channel: number, stream: UInt32(number), payloadSize: plan.payloadSize, isCall: isCall)
        }
        self.template = template(false)
        self.asking = template(true)
        if case .acknowledgement(let every) = plan.completion {
            self.askEvery = UInt64(every)
        } else {
            self.askEvery = 0
        }
        self.subscribers = subscribers
        self.progress = subscribers.map { _ in Progress() }
    }

    /// Bytes of the longest publish.
    var longestPublish: Int { max(self.template.bytes.count, self.asking.bytes.count) }

    /// Writes one publish; `to` has room for ``longestPublish``. Returns its length.
    @inline(__always)
    func writePublish(sequence: UInt64, due: UInt64, to: UnsafeMutableRawPointer) -> Int {
        if self.askEvery > 0, (sequence + 1) % self.askEvery == 0 {
            self.asking.write(sequence: sequence, due: due, to: to)
            return self.asking.bytes.count
        }
        self.template.write(sequence: sequence, due: due, to: to)
        return self.template.bytes.count
    }

    func advanced(_ thread: Int, to value: UInt64) {
        self.progress[thread].value.store(value, ordering: .releasing)
    }

    /// Every subscriber has every message below this number.
    var completed: UInt64 {
        var lowest = UInt64.max
        for (thread, count) in self.subscribers.enumerated() where count > 0 {
            lowest = min(lowest, self.progress[thread].value.load(ordering: .acquiring))
        }
        return lowest
    }
}
