public import LinkspanBridgeKit
public import NIOCore

/// Asks one instance for messages that did not come.
public struct RepairRequest: Sendable, Hashable {
    public struct Want: Sendable, Hashable {
        public var channel: ChannelName
        public var instance: InstanceID
        public var epoch: UInt64
        public var ranges: [ClosedRange<UInt64>]

        public init(channel: ChannelName, instance: InstanceID, epoch: UInt64, ranges: [ClosedRange<UInt64>]) {
            self.channel = channel
            self.instance = instance
            self.epoch = epoch
            self.ranges = ranges
        }
    }

    /// Who asks.
    public var requester: InstanceID
    /// Who sent the messages to the upstream.
    public var sender: InstanceID
    public var wants: [Want]

    public init(requester: InstanceID, sender: InstanceID, wants: [Want]) {
        self.requester = requester
        self.sender = sender
        self.wants = wants
    }

    /// Most wants in one request, and most ranges in one want; a longer one is not believed.
    public static let wantLimit = 64
    public static let rangeLimit = 32
}

/// The receiver's side of repair over one bridge: decides which missing messages to ask for, and when.
///
/// All receivers of an upstream tend to miss the same messages at the same moment, and all hear each other's requests and the answers. So
/// each waits for a short random time first, and one that hears its own question from another asks only if the answer fails to come.
public struct RepairDesk: Sendable {
    /// Most gaps that are asked for at a time; others are not, and counted.
    public let limit: Int

    /// Gaps that were not asked for, because there were too many.
    public private(set) var unaskedCount: UInt64 = 0

    /// From a request to the next for the same messages, at first; doubled each time nothing comes, up to ``longestPause``.
    public let pause: TimeAmount

    public static let longestPause = TimeAmount.seconds(5)

    fileprivate struct Question {
        var gap: Gap
        var missing: SequenceRanges
        var dueAt: NIODeadline
        var attempts = 0
    }

    private let instance: InstanceID
    private var questions: [UInt64: Question] = [:]

    public init(instance: InstanceID, settings: RepairSettings, limit: Int = Self.defaultLimit) {
        self.instance = instance
        self.pause = settings.pause
        self.limit = max(limit, 1)
    }

    public static let defaultLimit = 1024

    /// When ``takeDue(at:using:)`` has something; nil when nothing is missing.
    public var nextDue: NIODeadline? { self.questions.values.lazy.map(\.dueAt).min() }

    public mutating func apply(
        _ event: GapEvent, at now: NIODeadline, using random: inout some RandomNumberGenerator
    ) {
        switch event {
        case .named(let gap):
            guard self.questions.count < self.limit else { return self.unaskedCount += 1 }
            let jitter = TimeAmount.nanoseconds(Int64.random(in: 0...self.pause.nanoseconds / 4, using: &random))
            self.questions[gap.id] = Question(gap: gap, missing: SequenceRanges(gap.range), dueAt: now + jitter)
        case .filled(let id, let range, _):
            self.filled(id, range, at: now)
        case .final(let id, _):
            self.questions[id] = nil
        }
    }

    private mutating func filled(_ id: UInt64, _ range: ClosedRange<UInt64>, at now: NIODeadline) {
        guard var question = self.questions[id] else { return }
        question.missing.remove(range)
        // The answer is coming: the rest of it deserves time.
        question.dueAt = max(question.dueAt, now + self.pause)
        question.attempts = min(question.attempts, 1)
        self.questions[id] = question.missing.isEmpty ? nil : question
    }

    /// Another receiver asked: what it asks for will come here too.
    public mutating func overheard(
        _ request: RepairRequest, at now: NIODeadline, using random: inout some RandomNumberGenerator
    ) {
        guard !self.questions.isEmpty, request.requester != self.instance else { return }
        for (id, question) in self.questions where question.isAsked(by: request) {
            let jitter = TimeAmount.nanoseconds(Int64.random(in: 0...self.pause.nanoseconds / 4, using: &random))
            self.questions[id]?.dueAt = max(question.dueAt, now + self.pause + jitter)
        }
    }

    /// What to ask now: one request for each sender, with everything that is due.
    public mutating func takeDue(
        at now: NIODeadline, using random: inout some RandomNumberGenerator
    ) -> [RepairRequest] {
        let due = self.questions.values.filter { $0.dueAt <= now }.sorted { $0.gap.id < $1.gap.id }
        var requests: [InstanceID: RepairRequest] = [:]
        for question in due {
            let sender = question.gap.sender
            var request =
                requests[sender] ?? RepairRequest(requester: self.instance, sender: sender, wants: [])
            guard request.wants.count < RepairRequest.wantLimit else { continue }
            request.wants.append(question.want)
            requests[sender] = request
            self.postpone(question, at: now, using: &random)
        }
        return requests.values.sorted { $0.sender.string < $1.sender.string }
    }

    private mutating func postpone(
        _ question: Question, at now: NIODeadline, using random: inout some RandomNumberGenerator
    ) {
        let pause = min(self.pause.nanoseconds << Int64(min(question.attempts, 20)), Self.longestPause.nanoseconds)
        let jitter = Int64.random(in: 0...pause / 4, using: &random)
        self.questions[question.gap.id]?.dueAt = now + .nanoseconds(pause + jitter)
        self.questions[question.gap.id]?.attempts += 1
    }
}

extension RepairDesk.Question {
    fileprivate var want: RepairRequest.Want {
        RepairRequest.Want(
            channel: self.gap.channel, instance: self.gap.instance, epoch: self.gap.epoch,
            ranges: Array(self.missing.ranges.prefix(RepairRequest.rangeLimit)))
    }

    fileprivate func isAsked(by request: RepairRequest) -> Bool {
        request.sender == self.gap.sender
            && request.wants.contains { want in
                want.epoch == self.gap.epoch && want.instance == self.gap.instance
                    && want.channel == self.gap.channel && self.missing.isCovered(by: want.ranges)
            }
    }
}
