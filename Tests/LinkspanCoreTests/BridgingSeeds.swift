import Foundation

/// SplitMix64: small, fast and the same everywhere, so a seed repeats a run exactly.
struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        self.state = seed
    }

    mutating func next() -> UInt64 {
        self.state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = self.state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

enum Seeds {
    /// The seed in `LINKSPAN_TEST_SEED`, to repeat a failure; else `count` seeds of their own per run.
    static func fromEnvironment(count: Int) -> [UInt64] {
        if let text = ProcessInfo.processInfo.environment["LINKSPAN_TEST_SEED"], let seed = UInt64(text) {
            return [seed]
        }
        var random = SystemRandomNumberGenerator()
        return (0..<count).map { _ in random.next() }
    }
}
