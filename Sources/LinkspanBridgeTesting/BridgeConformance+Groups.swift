internal import LinkspanBridgeKit

// Instances that share what arrives.
extension BridgeConformance {
    func checkSharing() async throws {
        let bridge = try self.make(self.settings)
        guard bridge.groupSupport != .none else { return }
        let names = TestNames(bridge: bridge, check: .shares, run: self.run)
        let (shared, unshared) = (names.plain("shared"), names.plain("unshared"))
        let join: @Sendable (inout BridgeSettings) -> Void = { settings in
            settings.consumerGroup = "conformance-\(self.run)"
            settings.unsharedNames = [unshared]
        }
        try await self.withPair(.shares, receiver: join) { pair in
            try await pair.subscribe(.exact(shared), .exact(unshared))
            let other = try await pair.converse(
                try self.site("c", check: .shares, join), interest: [.exact(shared), .exact(unshared)])
            let members = [pair.receiver, other]
            try await self.share(0..<600, on: shared, among: members, pair)

            // What only some of the group hear is not heard of others who send it, so a member does.
            try await pair.send([pair.message(unshared, "\"all\"")], by: other)
            for member in members {
                try await member.wait(for: "what every member has to hear", atMost: self.patience) { state in
                    state.received.contains { $0.name == unshared }
                }
            }

            try await self.finish(pair.receiver)
            try await self.share(600..<900, on: shared, among: members, pair)
            for member in members {
                let count = member.read { state in state.received.count { $0.name == unshared } }
                try require(count == 1, "what every member has to hear came \(count) times to one of them")
            }
        }
    }

    /// Sends numbers, and requires that by then every number from 0 came to one of `members`, in the order of each.
    private func share(
        _ numbers: Range<Int>, on name: String, among members: [Conversation], _ pair: Pair
    ) async throws {
        for first in stride(from: numbers.lowerBound, to: numbers.upperBound, by: 100) {
            try await pair.send((first..<first + 100).map { pair.message(name, "\($0)") })
        }
        let clock = ContinuousClock()
        let end = clock.now + self.patience
        var shares: [[Int]] = []
        repeat {
            shares = members.map { member in
                member.read { state in state.received.filter { $0.name == name }.compactMap { Int($0.text) } }
            }
            if Set(shares.joined()).count == numbers.upperBound { break }
            try await Task.sleep(for: .milliseconds(10))
        } while clock.now < end
        try requireEqual(shares.joined().sorted().map(String.init), (0..<numbers.upperBound).map(String.init))
        try require(shares.allSatisfy { $0 == $0.sorted() }, "a member has its share out of order")
    }
}
