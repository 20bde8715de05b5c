/// How many publishes may be ahead of the upstream's confirms now. Pure; times in nanoseconds.
///
/// RabbitMQ stops reading from a connection that is 400 messages ahead of one of the processes behind it (credit flow), again and again, and passes fewer
/// messages then. So no more than ``few`` are under way, unless the whole window gets clearly more of them confirmed, as it does over a long way or
/// with a slow disk. Both are compared while publishing waits for confirms, the other one seldom while it brings nothing.
struct PublishFlight {
    static let few = 256
    /// What a limit is judged by: so many nanoseconds of waiting for confirms, and so many times the window confirmed meanwhile.
    private static let judgedTime: UInt64 = 200_000_000
    private static let judgedWindows = 2
    /// Times of waiting between two comparisons.
    private static let patience: ClosedRange<UInt64> = 2_000_000_000...64_000_000_000

    private let most: Int
    private(set) var limit: Int
    /// Confirms per nanosecond with the limit in use, measured before the other one was tried; nil while nothing is tried.
    private var rateBefore: Double?
    /// Confirms to pass over, since they belong to what was published under another limit.
    private var passedOver = 0
    private var confirmed = 0
    private var time: UInt64 = 0
    /// Time of waiting until the other limit is tried.
    private var rest: UInt64 = 0
    private var nextRest = Self.patience.lowerBound

    /// - Parameter most: the whole window.
    init(most: Int) {
        self.most = most
        self.limit = min(most, Self.few)
    }

    /// - Parameters:
    ///   - confirmed: settled in this turn.
    ///   - elapsed: since the turn before, at whose end the limit was reached.
    mutating func waited(confirmed: Int, elapsed: UInt64) {
        guard self.most > Self.few else { return }
        guard self.passedOver <= 0 else {
            self.passedOver -= confirmed
            return
        }
        self.confirmed += confirmed
        self.time += elapsed
        guard self.time >= Self.judgedTime, self.confirmed >= self.most * Self.judgedWindows else { return }
        self.judge(rate: Double(self.confirmed) / Double(self.time))
        self.confirmed = 0
        self.time = 0
    }

    private mutating func judge(rate: Double) {
        if let before = self.rateBefore {
            self.rateBefore = nil
            if self.limit == self.most ? rate > before * 1.25 : rate * 1.1 > before {
                self.nextRest = Self.patience.lowerBound
            } else {
                self.change()
            }
            self.rest = self.nextRest
            self.nextRest = min(self.nextRest * 2, Self.patience.upperBound)
        } else if self.rest > self.time {
            self.rest -= self.time
        } else {
            self.rateBefore = rate
            self.change()
        }
    }

    private mutating func change() {
        self.limit = self.limit == self.most ? Self.few : self.most
        self.passedOver = self.most
    }
}
