/// What one direction came to, from the publisher at one instance to the receiver at the other: what the receiver saw, beside what the
/// ledger of its instance says.
struct ChaosAccount: Sendable {
    /// Published and answered.
    var sent = 0
    var received = 0
    /// Answered, and not received.
    var lost = 0
    /// Lost, and in none of the gaps that the ledger names.
    var unnamed = 0
    /// Named by the ledger, and not lost.
    var overnamed = 0
    var doubled = 0
    var disordered = 0
    /// Channels whose end mark did not come.
    var unfinished = 0
    /// What passed while the receiver's own connection was gone.
    var away = 0
    /// Not answered, because the publisher's own connection went before.
    var doubtful = 0
    /// Of those, the ones that came.
    var doubtfulReceived = 0
    /// Milliseconds.
    var longestPause = 0

    /// Whether the ledger names what the receiver did not see, and nothing else, by channel and number.
    var isExact: Bool { self.unnamed == 0 && self.overnamed == 0 }

    /// - Parameters:
    ///   - heard: what the checker's `accounted` says.
    ///   - gaps: the list of gaps of the instance that received, as `/status` has it.
    ///   - publisher: the side that sent.
    init(_ heard: JSON, gaps: [JSON], from publisher: ChaosSide) throws {
        guard heard["errors"] == [] else { throw Unexpected(heard) }
        self.sent = heard["sent"].int ?? -1
        self.received = heard["received"].int ?? -1
        self.doubled = heard["doubled"].int ?? -1
        self.disordered = heard["disordered"].int ?? -1
        self.unfinished = heard["unfinished"].int ?? -1
        self.longestPause = heard["pause"].int ?? -1
        let lives = heard["lives"].elements.compactMap(\.int)
        for (channel, details) in heard["channels"].members {
            var numbers = Numbers(details)
            self.lost += numbers.lost.count
            // Its end mark is one more message, for the ledger.
            if let end = details["end"].int { numbers.lost.insert(end) }
            self.away += numbers.away.count
            self.doubtful += numbers.doubtful.count
            self.doubtfulReceived += details["doubtful_found"].int ?? 0
            var explained: Set<Int> = []
            for gap in gaps where gap["channel"].string == channel && gap["missing"] != 0 {
                guard gap["origin"].string == publisher.name, let range = publisher.numbers(of: gap, channel, lives)
                else { continue }
                let lost = numbers.lost.intersection(range)
                explained.formUnion(lost)
                // Nobody but the instance knows whether it took what it did not answer.
                let unknown = numbers.doubtful.union(numbers.away).intersection(range)
                let missing = gap["missing"].int ?? -1
                self.overnamed += max(0, missing - lost.count - unknown.count)
                self.unnamed += max(0, lost.count - missing)
            }
            self.unnamed += numbers.lost.subtracting(explained).count
        }
    }

    /// What became of the numbers of one channel.
    private struct Numbers {
        var lost, away, doubtful: Set<Int>

        init(_ details: JSON) {
            (self.lost, self.away, self.doubtful) = (
                Self.set(details["lost"]), Self.set(details["away"]), Self.set(details["doubtful"])
            )
        }

        private static func set(_ ranges: JSON) -> Set<Int> {
            Set(ranges.elements.flatMap { ($0[0].int ?? 0)...($0[1].int ?? 0) })
        }
    }
}

extension ChaosSide {
    /// What its publisher called the messages of a gap; nil for messages from before it numbered any.
    /// - Parameter lives: the first number of each life of the instance.
    fileprivate func numbers(of gap: JSON, _ channel: String, _ lives: [Int]) -> ClosedRange<Int>? {
        guard let from = gap["from"].int, let to = gap["to"].int, let epoch = gap["epoch"].int,
            let life = self.life(of: UInt64(epoch)), lives.indices.contains(life)
        else { return nil }
        // An instance counts from 1 in each channel, and what greeted came first.
        let shift = lives[life] - 1 - (life == 0 ? self.greetings[channel] ?? 0 : 0)
        return to + shift < 0 ? nil : max(from + shift, 0)...(to + shift)
    }
}
