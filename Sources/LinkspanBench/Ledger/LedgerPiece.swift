/// One thing that a bridge does for each message so that nothing is lost without a word.
struct LedgerPiece {
    /// Which messages pay for it.
    enum Place: String, Sendable, CaseIterable {
        /// Every one that leaves.
        case egress = "out"
        /// Every one that arrives.
        case ingress = "in"
        /// Those of rules that ask for it.
        case chosen = "where a rule asks for it"
        /// Not messages, but what happens beside them.
        case beside = "beside messages"
    }

    /// For the command line and JSON.
    var name: String
    var title: String
    var place: Place
    /// Messages, or what the title names, in one call of `body`.
    var operations = 1
    /// Does it, and adds to its argument what must not be optimised away.
    var body: (inout Int) -> Void
}

/// What one piece costs.
struct LedgerCost: Sendable {
    var name: String
    var title: String
    var place: LedgerPiece.Place
    /// For each message.
    var nanoseconds: Double
    /// For each message; nil where nobody counted them.
    var instructions: Double?
}
