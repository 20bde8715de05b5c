internal import Foundation

/// Random numbers that can be had again (SplitMix64): a failing test prints its seed, `LINKSPAN_TEST_SEED` sets it.
public struct SeededRandom: RandomNumberGenerator, Sendable {
    public let seed: UInt64
    private var state: UInt64

    public init(seed: UInt64) {
        self.seed = seed
        self.state = seed
    }

    /// A fresh seed, or the one of `LINKSPAN_TEST_SEED`, printed with the name of the test.
    public init(for test: String = #function) {
        let wanted = ProcessInfo.processInfo.environment["LINKSPAN_TEST_SEED"].flatMap { UInt64($0) }
        self.init(seed: wanted ?? UInt64.random(in: 0 ... .max))
        print("\(test): LINKSPAN_TEST_SEED=\(self.seed)")
    }

    public mutating func next() -> UInt64 {
        self.state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = self.state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
