/// What one publisher's messages came to at the clients of a group, beside what the ledgers of its members say.
struct GroupAccount: Sendable {
    /// Published and answered.
    var sent: Int
    /// At all clients together.
    var received: Int
    /// Answered, and at no client.
    var lost: Int
    /// Came once more, to another client or to the same.
    var doubled: Int
    var doubledAtOne: Int
    /// Came to a client after a later one of the same channel.
    var disordered: Int
    /// Channels whose end mark came to no client.
    var unfinished: Int
    /// Not answered.
    var unanswered: Int
    /// Dropped as unroutable by the ledger of the instance that published.
    var named: Int
    /// Milliseconds in which nothing came to any client.
    var longestPause: Int
    /// For each ledger that does not say what the clients say: of which instance, and in which way.
    var disagreements: [String]

    /// - Parameters:
    ///   - heard: what the checker's `shared` says.
    ///   - members: the bridge of each member, as `/health` has it.
    ///   - sender: of the instance that published.
    ///   - greetings: how many messages it had dropped before the numbered ones.
    init(_ heard: JSON, members: [(side: ChaosSide, status: JSON)], sender: JSON, greetings: Int) throws {
        guard heard["errors"] == [] else { throw Unexpected(heard) }
        self.sent = heard["sent"].int ?? -1
        self.received = heard["received"].int ?? -1
        self.lost = heard["lost"].int ?? -1
        self.doubled = heard["doubled"].int ?? -1
        self.doubledAtOne = heard["doubled_at_one"].int ?? -1
        self.disordered = heard["disordered"].int ?? -1
        self.unfinished = heard["unfinished"].int ?? -1
        self.unanswered = heard["unanswered"].int ?? -1
        self.longestPause = heard["pause"].int ?? -1
        self.named = (sender["egress"]["dropped"]["unroutable"].int ?? 0) - greetings
        self.disagreements = []
        for (side, status) in members {
            // Of its present life: a client is connected anew when its instance is, and before that can reach its broker.
            let (delivered, heard) = (status["ingress"]["delivered"], heard["members"][side.client]["heard"])
            if delivered != heard || !status.isBalanced {
                self.disagreements.append("\(side.name) delivered \(delivered), its client heard \(heard)")
            }
        }
        let egress = sender["egress"]
        if !sender.isBalanced || egress["accepted"].int != egress["confirmed"].int.map({ $0 + self.named + greetings })
        {
            self.disagreements.append("the sender: \(egress)")
        }
    }

    /// Answered, at no client, and in no ledger.
    var unnamed: Int { self.lost - self.named }
    /// Whether every ledger agrees with the clients, to the message.
    var isExact: Bool { self.disagreements.isEmpty && self.unnamed == 0 }
}
