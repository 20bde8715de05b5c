public import LinkspanBridgeKit

/// Where a key that signs or verifies tokens comes from.
public enum TokenKeySource: Sendable, Hashable {
    /// A shared secret, its UTF-8 bytes as they stand; for HS256, HS384 and HS512.
    case secret(Secret)
    /// A PEM public or private key; RSA for RS and PS algorithms, P-256, P-384 or P-521 for ES256, ES384 and ES512, Ed25519 for EdDSA.
    case pem(Secret)
    /// A JSON Web Key Set (RFC 7517).
    case keySet(Secret)
}

/// One key, and which tokens it is for.
public struct TokenKey: Sendable, Hashable {
    public var source: TokenKeySource
    /// The `kid` of tokens that this key verifies; nil tries it on every token without a `kid`, and on those whose `kid` no key has.
    public var identifier: String?

    public init(_ source: TokenKeySource, identifier: String? = nil) {
        self.source = source
        self.identifier = identifier
    }
}

/// Whether a connection without a valid token is welcome.
public enum AnonymousAccess: String, Sendable, Hashable, CaseIterable {
    case allow
    /// The handshake is refused with `AuthTokenInvalidError` and the connection closed with 4008.
    case deny
}

/// How clients prove who they are. Defaults are SocketCluster's.
public struct AuthSettings: Sendable, Hashable {
    /// Signs the tokens that this server gives out; nil makes a random secret, whose tokens do not survive a restart.
    public var signingKey: TokenKey?
    /// Verify tokens, beside the signing key: during a rotation the old and the new one.
    public var verifyKeys: [TokenKey] = []
    /// JWS algorithm names (RFC 7518, RFC 8037). The first signs; all verify. Empty means HS256 to sign, and to verify whatever fits the keys.
    public var algorithms: [String] = []
    /// Life of a token that says nothing of its own.
    public var expiry = Duration.seconds(86_400)
    public var anonymous = AnonymousAccess.allow
    /// When set, a token's `aud` must contain it.
    public var audience: String?
    /// When set, a token's `iss` must equal it.
    public var issuer: String?

    public init() {}
}
