internal import LinkspanCore
internal import LinkspanWire
internal import Synchronization

/// Says what tokens are worth, with the keys and revocations of the moment. Any thread.
final class TokenJudge: Sendable {
    /// Nil until the server runs.
    private let keys = Mutex<TokenKeys?>(nil)
    private let revocations = Mutex(RevocationList())

    /// Tokens that were accepted already stay accepted.
    func replaceKeys(_ keys: TokenKeys) {
        self.keys.withLock { $0 = keys }
    }

    /// - Parameter now: whole seconds since 1970.
    func revoke(_ party: RevokedParty, now: Int64) {
        self.revocations.withLock { $0.revoke(party, now: now) }
    }

    /// Revocations that were forgotten because there were too many.
    var forgottenCount: Int { self.revocations.withLock { $0.forgottenCount } }

    /// - Parameters:
    ///   - token: any JSON value; nil when there was none where one was due.
    ///   - now: whole seconds since 1970.
    func judge(_ token: JSONValue?, in text: RawSpan, now: Int64) throws(TokenRefusal) -> TokenClaims {
        guard let token else { throw .problem(.missing) }
        guard let slice = token.string else { throw .notString }
        guard !slice.range.isEmpty else { throw .problem(.missing) }
        guard let keys = self.keys.withLock({ $0 }) else { throw .problem(.wrongSignature) }
        let claims = try keys.verify(slice.string(in: text), now: Double(now))
        guard !self.revocations.withLock({ $0.refuses(claims) }) else { throw .revoked }
        return claims
    }

    /// - Throws: when the key cannot sign.
    func sign(_ claims: TokenClaims, now: Int64) throws -> String {
        guard let keys = self.keys.withLock({ $0 }) else { throw TokenKeyError("no key is loaded yet") }
        return try keys.sign(claims, now: now)
    }
}
