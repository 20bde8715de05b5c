internal import LinkspanBridgeKit

// What a bridge receives, and what it does not.
extension BridgeConformance {
    func checkExactFilter(_ pair: Pair) async throws {
        let name = pair.names.plain("exact")
        try await pair.subscribe(.exact(name))
        let others = ["exact/below", "exact2", "exac", "other"].map(pair.names.plain)
        try await pair.send(others.map { pair.message($0, "\"not wanted\"") })
        try await pair.send([pair.message(name, "1")])
        let received = try await pair.receiveUpTo("2", on: name)
        try requireNames(received, all: name)
        try requireEqual(received.map(\.text), ["1", "2"])
    }

    func checkRenewal(_ pair: Pair) async throws {
        guard pair.sites.receiver.bridge.renewsSubscriptions else { return }
        let name = pair.names.plain("renewed")
        try await pair.subscribe(.exact(name))
        try await pair.send([pair.message(name, "1")])
        for _ in 0..<3 { try await pair.subscribe(.exact(name)) }
        let received = try await pair.receiveUpTo("2", on: name)
        try requireEqual(received.map(\.text), ["1", "2"])
        try await self.drop(.exact(name), pair)
        try await pair.send([pair.message(name, "3")])
        try await pair.subscribe(.exact(name))
        let later = try await pair.receiveUpTo("4", on: name)
        try requireEqual(later.map(\.text), ["1", "2", "4"])
    }

    func checkPrefixFilter(_ pair: Pair) async throws {
        try await pair.subscribe(.prefix(pair.names.below("tree")))
        let names = ["tree/a", "tree/b", "tree/c/d", "tree/c/d/e", "tree/x y", "tree/[a]*?"].map(pair.names.plain)
        try await pair.send(names.map { pair.message($0, "\"" + String($0.utf8.count) + "\"") })
        try await pair.receiver.wait(for: "\(names.count) messages below the prefix", atMost: self.patience) {
            $0.received.count >= names.count
        }
        let received = try await pair.receiveUpTo("\"end\"", on: names[0]).map(\.name)
        try requireEqual(received.sorted(), (names + [names[0]]).sorted())
    }

    func checkOverlappingFilters(_ pair: Pair) async throws {
        let (top, deep, name) = (
            pair.names.below("top"), pair.names.below("top/deep"), pair.names.plain("top/deep/name")
        )
        try await pair.subscribe(.exact(name))
        try await pair.subscribe(.prefix(deep))
        try await pair.subscribe(.prefix(top))
        try await pair.send([pair.message(name, "1")])
        try await self.drop(.prefix(top), pair)
        try await pair.send([pair.message(name, "2")])
        try await self.drop(.exact(name), pair)
        try await pair.send([pair.message(name, "3")])
        try await pair.subscribe(.exact(name))
        try await self.drop(.prefix(deep), pair)
        try await pair.send([pair.message(name, "4")])
        let received = try await pair.receiveUpTo("5", on: name)
        try requireEqual(received.filter { $0.name == name }.map(\.text), ["1", "2", "3", "4", "5"])
    }

    func checkUnsubscribe(_ pair: Pair) async throws {
        let (name, folder) = (pair.names.plain("left"), pair.names.below("folder"))
        try await pair.subscribe(.exact(name), .prefix(folder))
        _ = try await pair.receiveUpTo("1", on: name)
        _ = try await pair.receiveUpTo("2", on: pair.names.plain("folder/left"))
        try await self.drop(.exact(name), pair)
        try await self.drop(.prefix(folder), pair)
        try await pair.send([pair.message(name, "3"), pair.message(pair.names.plain("folder/left"), "4")])
        let end = pair.names.plain("end")
        try await pair.subscribe(.exact(end))
        let received = try await pair.receiveUpTo("5", on: end)
        try requireEqual(received.filter { $0.text.count == 1 }.map(\.text), ["1", "2", "5"])
    }

    /// Unsubscribes, and waits until that has happened: changes of interest are carried out in order, and a subscription is reported.
    private func drop(_ filter: UpstreamFilter, _ pair: Pair) async throws(Finding) {
        let mark = UpstreamFilter.exact(pair.names.plain("mark-\(pair.sites.receiver.nextTicket())"))
        pair.receiver.add(interest: [.unsubscribe(filter)])
        try await pair.subscribe(mark)
    }
}

private func requireNames(_ received: [IngressMessage], all name: String) throws(Finding) {
    if let stranger = received.first(where: { $0.name != name }) {
        throw Finding("a message to \(stranger.name.debugDescription) arrived, to which nothing was subscribed")
    }
}
