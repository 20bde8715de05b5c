internal import Glibc

/// The kernel's random numbers, fetched many at a time: asking for each would be two system calls per connection.
struct BufferedRandom: RandomNumberGenerator {
    private var numbers: ContiguousArray<UInt64> = []

    /// As many as getentropy(3) gives at once.
    private static let count = 32

    mutating func next() -> UInt64 {
        if self.numbers.isEmpty { self.refill() }
        return self.numbers.removeLast()
    }

    private mutating func refill() {
        self.numbers = ContiguousArray(repeating: 0, count: Self.count)
        let result = self.numbers.withUnsafeMutableBytes { getentropy($0.baseAddress!, $0.count) }
        guard result != 0 else { return }
        // Only a kernel without getrandom(2) comes here.
        var system = SystemRandomNumberGenerator()
        for index in self.numbers.indices { self.numbers[index] = system.next() }
    }
}

@available(*, unavailable)
extension BufferedRandom: Sendable {}
