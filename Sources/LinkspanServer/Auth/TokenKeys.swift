internal import Foundation
internal import JWTKit
internal import LinkspanBridgeKit
public import LinkspanCore
internal import LinkspanWire

/// The keys that verify and sign tokens, made once from the settings and replaced as a whole when they change.
///
/// Verifying and signing are synchronous and safe on any thread.
public struct TokenKeys: Sendable {
    private struct VerifyKey: Sendable {
        var identifier: String?
        var algorithm: any JWTAlgorithm
    }

    private let signer: any JWTAlgorithm
    private let signerIdentifier: String?
    private let verifiers: [VerifyKey]
    private let audience: String?
    private let issuer: String?
    private let expirySeconds: Int64

    /// - Throws: ``TokenKeyError`` that names the key which cannot be used and why.
    public init(settings: AuthSettings) async throws {
        try await self.init(settings: settings, ownKey: TokenKey(.secret(.random())))
    }

    /// - Parameter ownKey: a secret that signs when the settings have no key that does.
    init(settings: AuthSettings, ownKey: TokenKey) async throws {
        let signingKey = settings.signingKey ?? ownKey
        // A server that only verifies the tokens of others may admit no HS algorithm; its own secret signs by one all the same.
        let signingAlgorithm =
            settings.signingKey == nil
            ? settings.algorithms.first { $0.hasPrefix("HS") } ?? "HS256" : settings.algorithms.first ?? "HS256"
        guard let signer = try await Self.algorithms(of: signingKey, named: [signingAlgorithm], role: "signing").first
        else {
            throw TokenKeyError("the signing key does not fit the algorithm \(signingAlgorithm)")
        }
        self.signer = signer.algorithm
        self.signerIdentifier = settings.signingKey?.identifier
        let allowed = settings.algorithms.isEmpty ? Self.allAlgorithms : settings.algorithms
        var verifiers = settings.signingKey == nil ? [signer] : []
        for key in [settings.signingKey].compactMap({ $0 }) + settings.verifyKeys {
            verifiers += try await Self.algorithms(of: key, named: allowed, role: "verify")
        }
        self.verifiers = verifiers
        self.audience = settings.audience
        self.issuer = settings.issuer
        self.expirySeconds = settings.expiry.components.seconds
    }

    /// Checks signature and claims.
    /// - Parameter now: whole seconds since 1970.
    public func verify(_ text: String, now: Double) throws(TokenRefusal) -> TokenClaims {
        let token = try CompactToken(parsing: text)
        let named = self.verifiers.filter { $0.identifier != nil && $0.identifier == token.keyIdentifier }
        let candidates =
            (named.isEmpty ? self.verifiers.filter { $0.identifier == nil || token.keyIdentifier == nil } : named)
            .filter { $0.algorithm.name == token.algorithm }
        guard !candidates.isEmpty else { throw .problem(.wrongAlgorithm) }
        guard candidates.contains(where: { Self.accepts($0.algorithm, token) }) else { throw .problem(.wrongSignature) }
        try token.claims.check(now: now, audience: self.audience, issuer: self.issuer)
        return token.claims
    }

    /// Signs `claims`, adding `iat`, and `exp` unless the claims have their own, as jsonwebtoken does for SocketCluster.
    /// - Parameters:
    ///   - claims: members of a JSON object, in order.
    ///   - now: whole seconds since 1970.
    /// - Throws: when the key cannot sign; the connection is then closed with 4002.
    public func sign(_ claims: TokenClaims, now: Int64) throws -> String {
        let payload = Self.complete(claims, issuedAt: now, expiry: now + self.expirySeconds)
        var header: [UInt8] = []
        header.put("{\"alg\":")
        header.putJSONString(self.signer.name)
        header.put(",\"typ\":\"JWT\"")
        if let identifier = self.signerIdentifier {
            header.put(",\"kid\":")
            header.putJSONString(identifier)
        }
        header.put("}")
        let input = Base64.urlSafe.encode(header) + [UInt8(ascii: ".")] + Base64.urlSafe.encode(payload)
        let signature = try self.signer.sign(input)
        return String(decoding: input + [UInt8(ascii: ".")] + Base64.urlSafe.encode(signature), as: UTF8.self)
    }

    private static func accepts(_ algorithm: any JWTAlgorithm, _ token: CompactToken) -> Bool {
        // A signature of the wrong shape makes the library throw; to us it is one more wrong signature.
        (try? algorithm.verify(token.signature, signs: token.signingInput)) ?? false
    }

    private static func complete(_ claims: TokenClaims, issuedAt: Int64, expiry: Int64) -> [UInt8] {
        var text = claims.json.utf8
        guard claims.isObject, let brace = text.lastIndex(of: UInt8(ascii: "}")) else { return text }
        text.removeSubrange(brace...)
        let isEmpty = !text.contains(UInt8(ascii: "\""))
        var separator: StaticString = isEmpty ? "" : ","
        for (name, value) in [("iat", issuedAt), ("exp", expiry)] where claims.value(named: name) == nil {
            text.put(separator)
            text.putJSONString(name)
            text.put(":")
            text.put(decimal: value)
            separator = ","
        }
        text.put("}")
        return text
    }
}

/// A key that cannot be used. Never contains the key.
public struct TokenKeyError: Error, Sendable, CustomStringConvertible {
    public let description: String

    init(_ description: String) {
        self.description = description
    }
}

extension TokenKeys {
    static let allAlgorithms = [
        "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512",
        "EdDSA",
    ]

    /// One entry for each of `names` that `key` can serve.
    private static func algorithms(
        of key: TokenKey, named names: [String], role: String
    ) async throws -> [VerifyKey] {
        switch key.source {
        case .secret(let secret):
            var made: [VerifyKey] = []
            for name in names where name.hasPrefix("HS") {
                made.append(
                    VerifyKey(
                        identifier: key.identifier, algorithm: try await Self.hmac(Array(secret.value.utf8), name)))
            }
            return made
        case .pem(let pem):
            return try await Self.pem(pem.value, names, role: role).map {
                VerifyKey(identifier: key.identifier, algorithm: $0)
            }
        case .keySet(let text):
            return try await Self.keySet(text.value, names)
        }
    }

    static func hmac(_ secret: [UInt8], _ name: String) async throws -> any JWTAlgorithm {
        let digest: DigestAlgorithm =
            switch name {
            case "HS256": .sha256
            case "HS384": .sha384
            default: .sha512
            }
        // The library admits no secret shorter than the digest, SocketCluster does. HMAC itself fills short keys with zeros
        // (RFC 2104, section 2), so filling them here changes no signature.
        var key = Data(secret)
        if key.count < 64 { key.append(Data(repeating: 0, count: 64 - key.count)) }
        return try await JWTKeyCollection().add(hmac: HMACKey(from: key), digestAlgorithm: digest).getKey()
    }

    private static func pem(_ pem: String, _ names: [String], role: String) async throws -> [any JWTAlgorithm] {
        var made: [any JWTAlgorithm] = []
        for name in names {
            guard let collection = await Self.collection(pem: pem, name) else { continue }
            made.append(try await collection.getKey())
        }
        guard !made.isEmpty else {
            throw TokenKeyError("the \(role) key is no PEM key that fits \(names.joined(separator: ", "))")
        }
        return made
    }

    private static func collection(pem: String, _ name: String) async -> JWTKeyCollection? {
        let collection = JWTKeyCollection()
        let isPrivate = pem.contains("PRIVATE KEY")
        switch name {
        case "ES256":
            return await Self.add(ecdsa: ES256PublicKey.self, ES256PrivateKey.self, pem, isPrivate, to: collection)
        case "ES384":
            return await Self.add(ecdsa: ES384PublicKey.self, ES384PrivateKey.self, pem, isPrivate, to: collection)
        case "ES512":
            return await Self.add(ecdsa: ES512PublicKey.self, ES512PrivateKey.self, pem, isPrivate, to: collection)
        case "EdDSA":
            return await Self.add(edwards: pem, isPrivate, to: collection)
        default: break
        }
        let digest: DigestAlgorithm =
            if name.hasSuffix("256") { .sha256 } else if name.hasSuffix("384") { .sha384 } else { .sha512 }
        let isPSS = name.hasPrefix("PS")
        guard isPSS || name.hasPrefix("RS") else { return nil }
        if isPrivate {
            guard let key = try? Insecure.RSA.PrivateKey(pem: pem) else { return nil }
            return isPSS
                ? await collection.add(pss: key, digestAlgorithm: digest)
                : await collection.add(rsa: key, digestAlgorithm: digest)
        }
        guard let key = try? Insecure.RSA.PublicKey(pem: pem) else { return nil }
        return isPSS
            ? await collection.add(pss: key, digestAlgorithm: digest)
            : await collection.add(rsa: key, digestAlgorithm: digest)
    }

    private static func add<Curve>(
        ecdsa: ECDSA.PublicKey<Curve>.Type, _: ECDSA.PrivateKey<Curve>.Type, _ pem: String, _ isPrivate: Bool,
        to collection: JWTKeyCollection
    ) async -> JWTKeyCollection? {
        if isPrivate {
            guard let key = try? ECDSA.PrivateKey<Curve>(pem: pem) else { return nil }
            return await collection.add(ecdsa: key)
        }
        guard let key = try? ECDSA.PublicKey<Curve>(pem: pem) else { return nil }
        return await collection.add(ecdsa: key)
    }

    private static func add(
        edwards pem: String, _ isPrivate: Bool, to collection: JWTKeyCollection
    ) async -> JWTKeyCollection? {
        if isPrivate {
            guard let key = try? EdDSA.PrivateKey(pem: pem) else { return nil }
            return await collection.add(eddsa: key)
        }
        guard let key = try? EdDSA.PublicKey(pem: pem) else { return nil }
        return await collection.add(eddsa: key)
    }

    private static func keySet(_ text: String, _ names: [String]) async throws -> [VerifyKey] {
        let set: KeySet
        do {
            set = try KeySet(text)
        } catch {
            // What the decoder says may quote the key.
            throw TokenKeyError("the key set is no JSON Web Key Set")
        }
        var made: [VerifyKey] = []
        for key in set.keys {
            for name in names where key.algorithms.contains(name) {
                guard let algorithm = try await Self.algorithm(of: key, name) else { continue }
                made.append(VerifyKey(identifier: key.identifier, algorithm: algorithm))
            }
        }
        guard !made.isEmpty else { throw TokenKeyError("no key of the key set fits \(names.joined(separator: ", "))") }
        return made
    }

    /// Nil when the key is broken.
    private static func algorithm(of key: KeySet.Key, _ name: String) async throws -> (any JWTAlgorithm)? {
        switch key.material {
        case .octets(let octets): return try await Self.hmac(octets, name)
        case .pair(var pair):
            pair.algorithm = JWK.Algorithm(rawValue: name)
            // The library looks its keys up by an identifier only.
            pair.keyIdentifier = pair.keyIdentifier ?? JWKIdentifier(string: "")
            guard let collection = try? await JWTKeyCollection().add(jwk: pair),
                let algorithm = try? await collection.getKey(for: pair.keyIdentifier, alg: name)
            else { return nil }
            return algorithm.name == name ? algorithm : nil
        }
    }
}

extension Secret {
    /// 32 random bytes as 64 hexadecimal characters, as SocketCluster makes one when none is configured.
    static func random() -> Secret {
        var generator = SystemRandomNumberGenerator()
        let bytes = (0..<32).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
        return Secret(bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined())
    }
}
