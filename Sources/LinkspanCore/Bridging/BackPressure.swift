internal import Synchronization

/// Which bridges want their publishers held back: those whose rule says `block` and whose buffer is full.
///
/// Written by the bridges, read after every publish; any thread.
public final class BackPressure: Sendable {
    /// Bit `n` stands for ``BridgeIndex`` `n`.
    private let bridges = Atomic<UInt64>(0)

    public init() {}

    @inline(__always)
    public var isRaised: Bool { self.bits != 0 }

    /// Bit `n` stands for ``BridgeIndex`` `n`.
    public var bits: UInt64 { self.bridges.load(ordering: .relaxed) }

    public func set(_ bridge: BridgeIndex, _ isFull: Bool) {
        if isFull {
            self.bridges.bitwiseOr(bridge.bit, ordering: .relaxed)
        } else {
            self.bridges.bitwiseAnd(~bridge.bit, ordering: .relaxed)
        }
    }
}

extension BridgeIndex {
    /// Its bit in ``EgressRoute/transit`` and ``BackPressure/bits``.
    public var bit: UInt64 { 1 << UInt64(self.value & 63) }
}
