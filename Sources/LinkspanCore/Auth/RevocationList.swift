/// Whom a revocation is about.
public enum RevokedParty: Sendable, Hashable {
    /// Every token issued until now to the user whom `sub` or `username` names.
    case user(String)
    /// The token with this `jti`.
    case token(String)

    /// Whether `claims` are of this party, whenever they were issued.
    public func includes(_ claims: TokenClaims) -> Bool {
        switch self {
        case .user(let name): claims.scalar("sub") == name || claims.scalar("username") == name
        case .token(let identifier): claims.scalar("jti") == identifier
        }
    }
}

/// Tokens that are refused although their signatures are good.
///
/// Holds a bounded number of revocations; past it the oldest is forgotten, and counted.
public struct RevocationList: Sendable {
    private var users: [String: Int64] = [:]
    private var tokens: Set<String> = []
    /// The oldest first.
    private var order: [RevokedParty] = []
    private let limit: Int
    /// Revocations that were forgotten because there were too many.
    public private(set) var forgottenCount = 0

    public init(limit: Int = 10_000) {
        self.limit = max(1, limit)
    }

    /// - Parameter now: whole seconds since 1970. A token that a user is given in the same second is refused too.
    public mutating func revoke(_ party: RevokedParty, now: Int64) {
        if self.holds(party) { self.order.removeAll { $0 == party } }
        self.order.append(party)
        switch party {
        case .user(let name): self.users[name] = now
        case .token(let identifier): self.tokens.insert(identifier)
        }
        if self.order.count > self.limit { self.forgetOldest() }
    }

    public func refuses(_ claims: TokenClaims) -> Bool {
        guard !self.order.isEmpty else { return false }
        if let identifier = claims.scalar("jti"), self.tokens.contains(identifier) { return true }
        guard !self.users.isEmpty else { return false }
        return [claims.scalar("sub"), claims.scalar("username")].contains { name in
            guard let name, let revokedAt = self.users[name] else { return false }
            guard let issuedAt = claims.issuedAt else { return true }
            return issuedAt <= Double(revokedAt)
        }
    }

    private func holds(_ party: RevokedParty) -> Bool {
        switch party {
        case .user(let name): self.users[name] != nil
        case .token(let identifier): self.tokens.contains(identifier)
        }
    }

    private mutating func forgetOldest() {
        switch self.order.removeFirst() {
        case .user(let name): self.users[name] = nil
        case .token(let identifier): self.tokens.remove(identifier)
        }
        self.forgottenCount += 1
    }
}
