/// The pauses between attempts to connect: doubling, each shortened by up to half at random.
struct ReconnectPause {
    let initial: Duration
    let maximum: Duration
    private var next: Duration

    init(initial: Duration, maximum: Duration) {
        self.initial = initial
        self.maximum = max(initial, maximum)
        self.next = initial
    }

    /// A connection came about: the next loss starts from the shortest pause.
    mutating func succeeded() {
        self.next = self.initial
    }

    mutating func failed(using random: inout some RandomNumberGenerator) -> Duration {
        defer { self.next = min(self.next * 2, self.maximum) }
        return self.next * Double.random(in: 0.5...1, using: &random)
    }
}
