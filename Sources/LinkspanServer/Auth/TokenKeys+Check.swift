internal import JWTKit
internal import LinkspanBridgeKit
public import LinkspanCore

extension TokenKeys {
    /// Why `key` serves none of `algorithms`, for whoever configured it; nil when it serves one. Never contains the key.
    ///
    /// - Parameter algorithms: names of RFC 7518 and RFC 8037; empty stands for all.
    public static func problem(of key: TokenKey, algorithms: [String]) -> String? {
        let names = algorithms.isEmpty ? Self.allAlgorithms : algorithms
        switch key.source {
        case .secret:
            return names.contains { $0.hasPrefix("HS") }
                ? nil : "a shared secret is for HS256, HS384 and HS512, and only \(Self.list(names)) are admitted"
        case .pem(let pem):
            guard let family = Self.family(ofPEM: pem.value) else {
                return "no PEM key of RSA, P-256, P-384, P-521 or Ed25519"
            }
            return Self.problem(of: [family], names)
        case .keySet(let text):
            guard let set = try? KeySet(text.value) else { return "no JSON Web Key Set" }
            return set.hasKeys ? Self.problem(of: set.keys.map(\.algorithms), names) : "the key set is empty"
        }
    }

    /// The algorithms that one key may serve.
    private static func family(ofPEM pem: String) -> [String]? {
        let isPrivate = pem.contains("PRIVATE KEY")
        if isPrivate
            ? (try? Insecure.RSA.PrivateKey(pem: pem)) != nil : (try? Insecure.RSA.PublicKey(pem: pem)) != nil
        {
            return Self.rsaAlgorithms
        }
        if isPrivate ? (try? ES256PrivateKey(pem: pem)) != nil : (try? ES256PublicKey(pem: pem)) != nil {
            return ["ES256"]
        }
        if isPrivate ? (try? ES384PrivateKey(pem: pem)) != nil : (try? ES384PublicKey(pem: pem)) != nil {
            return ["ES384"]
        }
        if isPrivate ? (try? ES512PrivateKey(pem: pem)) != nil : (try? ES512PublicKey(pem: pem)) != nil {
            return ["ES512"]
        }
        if isPrivate ? (try? EdDSA.PrivateKey(pem: pem)) != nil : (try? EdDSA.PublicKey(pem: pem)) != nil {
            return ["EdDSA"]
        }
        return nil
    }

    private static func problem(of families: [[String]], _ names: [String]) -> String? {
        let served = Set(families.flatMap(\.self))
        guard !names.contains(where: served.contains) else { return nil }
        return served.isEmpty
            ? "no key of the set verifies tokens"
            : "it is for \(Self.list(Self.allAlgorithms.filter(served.contains))), and only \(Self.list(names)) are admitted"
    }

    private static func list(_ names: [String]) -> String { names.joined(separator: ", ") }

    static let rsaAlgorithms = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]
}
