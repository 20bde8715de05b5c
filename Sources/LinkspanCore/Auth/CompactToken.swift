public import LinkspanWire

/// A JSON Web Token in its compact form (RFC 7519, RFC 7515 section 7.1), taken apart but not yet believed.
public struct CompactToken: Sendable, Hashable {
    /// `header.payload`, what the signature signs.
    public let signingInput: [UInt8]
    public let signature: [UInt8]
    public let algorithm: String
    public let keyIdentifier: String?
    public let claims: TokenClaims

    /// - Throws: ``ProtocolError/TokenProblem/malformed`` unless there are three parts, else `undecodable`, `unsigned`: the order in
    ///   which jsonwebtoken looks. A token with critical extensions is undecodable: none is known here (RFC 7515, section 4.1.11).
    public init(parsing text: String) throws(TokenRefusal) {
        let parts = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 3 else { throw .problem(.malformed) }
        guard let header = Base64.urlSafe.decode(parts[0]).flatMap(TokenClaims.init(json:)), header.isObject,
            let algorithm = header.string("alg"), header.value(named: "crit") == nil,
            let claims = Base64.urlSafe.decode(parts[1]).flatMap(TokenClaims.init(json:))
        else { throw .problem(.undecodable) }
        guard !parts[2].isEmpty else { throw .problem(.unsigned) }
        guard let signature = Base64.urlSafe.decode(parts[2]) else { throw .problem(.wrongSignature) }
        self.signingInput = Array(parts[0]) + [UInt8(ascii: ".")] + Array(parts[1])
        self.signature = signature
        self.algorithm = algorithm
        self.keyIdentifier = header.string("kid")
        self.claims = claims
    }
}

/// Why a token is not accepted; the outcome table of SocketCluster follows from it.
public enum TokenRefusal: Error, Sendable, Hashable {
    case notString
    /// The signature is good, but the server was told not to believe it any more.
    case revoked
    case problem(ProtocolError.TokenProblem)
    /// Seconds since 1970.
    case expired(at: Double)
    /// Seconds since 1970.
    case notActive(until: Double)

    /// Whether the client is told to forget the token.
    public var isBadToken: Bool {
        if case .notActive = self { false } else { true }
    }

    public func error(_ dialect: Dialect) -> ProtocolError {
        switch self {
        case .notString: .tokenNotString(dialect: dialect)
        case .revoked: .tokenInvalid(.revoked, dialect: dialect)
        case .problem(let problem): .tokenInvalid(problem, dialect: dialect)
        case .expired(let at): .tokenExpired(expiry: CivilTime.text(secondsSince1970: at), dialect: dialect)
        case .notActive(let until): .tokenNotActive(date: CivilTime.text(secondsSince1970: until), dialect: dialect)
        }
    }
}
