internal import Foundation
internal import JWTKit
internal import LinkspanCore
internal import LinkspanWire

/// The keys of a JSON Web Key Set (RFC 7517) that can verify tokens.
///
/// Keys of a kind, use or algorithm that we do not know are passed over, as section 5 wants it: a set often serves encryption as well.
struct KeySet: Sendable {
    struct Key: Sendable {
        enum Material: Sendable {
            /// `kty` is `oct` (RFC 7518, section 6.4).
            case octets([UInt8])
            case pair(JWK)
        }

        var identifier: String?
        /// Names of RFC 7518 that the key may serve: its own `alg`, or all that its kind allows.
        var algorithms: [String]
        var material: Material
    }

    /// In the order of the set.
    let keys: [Key]
    /// Whether the set has any key, usable or not.
    let hasKeys: Bool

    /// - Throws: when `text` is no set.
    init(_ text: String) throws {
        let file = try JSONDecoder().decode(File.self, from: Data(text.utf8))
        self.hasKeys = !file.keys.isEmpty
        self.keys = file.keys.compactMap(\.key)
    }

    private struct File: Decodable {
        var keys: [Element]
    }

    /// What cannot be read is nil instead of an error that would take the other keys along.
    private struct Element: Decodable {
        var key: Key?

        private enum Member: String, CodingKey {
            case kind = "kty"
            case use
            case operations = "key_ops"
            case algorithm = "alg"
            case identifier = "kid"
            case octets = "k"
        }

        init(from decoder: any Decoder) throws {
            guard let members = try? decoder.container(keyedBy: Member.self),
                let kind = try? members.decode(String.self, forKey: .kind), Self.verifies(members)
            else { return }
            let material: Key.Material
            let fitting: [String]
            if kind == "oct" {
                guard let text = try? members.decode(String.self, forKey: .octets),
                    let octets = Base64.urlSafe.decode(text.utf8), !octets.isEmpty
                else { return }
                material = .octets(octets)
                fitting = TokenKeys.allAlgorithms.filter { $0.hasPrefix("HS") }
            } else {
                guard let pair = try? JWK(from: decoder) else { return }
                material = .pair(pair)
                fitting = TokenKeys.algorithms(of: pair)
            }
            let own = try? members.decode(String.self, forKey: .algorithm)
            let algorithms = fitting.filter { own == nil || own == $0 }
            guard !algorithms.isEmpty else { return }
            let identifier = try? members.decode(String.self, forKey: .identifier)
            self.key = Key(identifier: identifier, algorithms: algorithms, material: material)
        }

        private static func verifies(_ members: KeyedDecodingContainer<Member>) -> Bool {
            if let use = try? members.decode(String.self, forKey: .use), use != "sig" { return false }
            guard let operations = try? members.decode([String].self, forKey: .operations) else { return true }
            return operations.contains("verify") || operations.contains("sign")
        }
    }
}

extension TokenKeys {
    /// The algorithms that the kind of a key pair allows.
    fileprivate static func algorithms(of key: JWK) -> [String] {
        if key.keyType == .rsa { return Self.rsaAlgorithms }
        return switch key.curve {
        case .ecdsa(.p256): ["ES256"]
        case .ecdsa(.p384): ["ES384"]
        case .ecdsa(.p521): ["ES512"]
        case .eddsa(.ed25519): ["EdDSA"]
        default: []
        }
    }
}
