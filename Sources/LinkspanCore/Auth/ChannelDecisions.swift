internal import LinkspanBridgeKit

/// What one client was found to be allowed to do, so that each publish into a known channel costs one lookup.
///
/// Belongs to the token that the client had; whoever changes that makes a new one. Holds a bounded number of channels and starts
/// over past it.
public struct ChannelDecisions: Sendable {
    private struct Known: Sendable {
        var subscribe: Bool?
        var publish: Bool?
    }

    private var names = NameTable()
    private var known: ContiguousArray<Known> = []
    private static let limit = 256

    public init() {}

    /// - Parameter name: UTF-8 of the channel.
    public mutating func allows(
        _ action: ChannelAction, _ name: UnsafeRawBufferPointer, permissions: Permissions, claims: TokenClaims?
    ) -> Bool {
        let number = self.number(of: name)
        let path = action == .publish ? \Known.publish : \Known.subscribe
        if let decided = self.known[number][keyPath: path] { return decided }
        let channel = ChannelName(String(decoding: name, as: UTF8.self))
        let isAllowed = permissions.allows(action, channel, claims: claims)
        self.known[number][keyPath: path] = isAllowed
        return isAllowed
    }

    private mutating func number(of name: UnsafeRawBufferPointer) -> Int {
        let hash = NameTable.Hash(name)
        if let number = self.names.find(name, hash: hash) { return number }
        if self.names.count >= Self.limit { self = ChannelDecisions() }
        self.known.append(Known())
        return self.names.insert(name, hash: hash)
    }
}
