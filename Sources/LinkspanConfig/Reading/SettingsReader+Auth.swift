internal import LinkspanBridgeKit
internal import LinkspanCore

/// `server.auth` and `permissions`.
extension SettingsReader {
    /// HMAC keys shorter than the digest are weaker than it (RFC 7518, section 3.2), and a person's word can be guessed.
    private static let secretBytes = 32

    mutating func auth(from block: ConfigBlock) -> AuthSettings {
        var settings = AuthSettings()
        settings.algorithms = block.list("algorithms")?.map(\.value) ?? settings.algorithms
        settings.signingKey = self.signingKey(from: block, algorithms: settings.algorithms)
        settings.verifyKeys = block.map("keys").compactMap { self.verifyKey(from: $0, algorithms: settings.algorithms) }
        if let set = self.key(inFile: "key_set", of: block, algorithms: settings.algorithms, TokenKeySource.keySet) {
            settings.verifyKeys.append(TokenKey(set))
        }
        settings.expiry = block.duration("expiry") ?? settings.expiry
        settings.anonymous = block.choice("anonymous") ?? settings.anonymous
        settings.audience = block.text("audience")
        settings.issuer = block.text("issuer")
        self.checkAnonymous(settings, in: block)
        return settings
    }

    private mutating func signingKey(from block: ConfigBlock, algorithms: [String]) -> TokenKey? {
        let identifier = block.text("key_id")
        let signing = [algorithms.first ?? "HS256"]
        switch (block.has("key"), block.has("private_key")) {
        case (true, true):
            self.report(
                block.location(of: "private_key"), "\(block.path.label): key and private_key: one of them signs",
                hint: "let the other one verify, below keys")
            return nil
        case (true, false):
            return self.secret(in: block, algorithms: signing).map { TokenKey($0, identifier: identifier) }
        case (false, true):
            let source = self.key(inFile: "private_key", of: block, algorithms: signing, TokenKeySource.pem)
            guard case .pem(let pem)? = source else { return nil }
            guard pem.value.contains("PRIVATE KEY-----") else {
                self.report(
                    block.location(of: "private_key"), "\(block.path.label): private_key: a public key cannot sign",
                    hint: "it verifies, below keys")
                return nil
            }
            return TokenKey(.pem(pem), identifier: identifier)
        case (false, false):
            if block.has("key_id") {
                self.report(
                    block.location(of: "key_id"), "\(block.path.label): key_id without a key that it names",
                    hint: "give key or private_key; below keys, write id")
            }
            return nil
        }
    }

    private mutating func verifyKey(from block: ConfigBlock, algorithms: [String]) -> TokenKey? {
        let source: TokenKeySource?
        switch (block.has("key"), block.has("public_key")) {
        case (true, false):
            source = self.secret(in: block, algorithms: algorithms)
        case (false, true):
            source = self.key(inFile: "public_key", of: block, algorithms: algorithms, TokenKeySource.pem)
        case (true, true), (false, false):
            self.report(
                block.location, "\(block.path.label): expected key or public_key, one of them",
                hint: "key for a shared secret, public_key for the file of a key in PEM form")
            source = nil
        }
        return source.map { TokenKey($0, identifier: block.text("id")) }
    }

    /// Nil when there is none, or when it cannot be used; that is reported.
    private mutating func secret(in block: ConfigBlock, algorithms: [String]) -> TokenKeySource? {
        guard let text = block.text("key") else { return nil }
        self.checkSecret(text, in: block)
        let source = TokenKeySource.secret(Secret(text))
        return self.isUsable(source, "key", in: block, algorithms) ? source : nil
    }

    /// Nil when `name` names no file, or one that cannot be used; that is reported.
    private mutating func key(
        inFile name: String, of block: ConfigBlock, algorithms: [String], _ source: (Secret) -> TokenKeySource
    ) -> TokenKeySource? {
        guard let path = block.text(name) else { return nil }
        do throws(FileProblem) {
            let source = source(Secret(try self.readFile(path)))
            return self.isUsable(source, name, in: block, algorithms) ? source : nil
        } catch {
            self.report(block.location(of: name), "\(block.path.label): \(name): cannot read \(path): \(error.reason)")
            return nil
        }
    }

    private mutating func isUsable(
        _ source: TokenKeySource, _ name: String, in block: ConfigBlock, _ algorithms: [String]
    ) -> Bool {
        guard let problem = self.problemOfKey(TokenKey(source), algorithms) else { return true }
        self.report(
            block.location(of: name), "\(block.path.label): \(name): \(problem)",
            hint: name == "private_key" ? "the first of server.auth.algorithms signs; without any, HS256" : nil)
        return false
    }

    private mutating func checkSecret(_ secret: String, in block: ConfigBlock) {
        let location = block.location(of: "key")
        if secret.isEmpty {
            self.report(location, "\(block.path.label): key is empty")
        } else if secret.contains("-----BEGIN ") {
            // Whoever knows the public key could sign with it as a secret.
            self.report(
                location, "\(block.path.label): key is a shared secret, found a key in PEM form",
                hint: "name its file with private_key, or public_key below keys")
        } else if secret.utf8.count < Self.secretBytes {
            self.report(
                location, "\(block.path.label): key has less than \(Self.secretBytes) bytes and may be guessed",
                hint: "make one with: openssl rand -hex 32", severity: .warning)
        }
    }

    private mutating func checkAnonymous(_ settings: AuthSettings, in block: ConfigBlock) {
        guard settings.anonymous == .deny, !Self.hasKey(block) else { return }
        self.report(
            block.location(of: "anonymous"),
            "\(block.path.label): anonymous deny admits nobody, because no key verifies tokens",
            hint: "give key, private_key, keys or key_set")
    }

    private static func hasKey(_ auth: ConfigBlock) -> Bool {
        ["key", "private_key", "key_set"].contains(where: auth.has) || !auth.map("keys").isEmpty
    }

    // MARK: Permissions

    /// - Parameter auth: `server.auth`.
    mutating func permissions(
        from blocks: [ConfigBlock], auth: ConfigBlock, hooks: [HookSettings]
    ) -> [PermissionRule] {
        let rules = blocks.map { self.rules(from: $0) }
        // Tokens that a hook gives are verified by the key that signs them, whichever that is.
        let hasTokens = Self.hasKey(auth) || hooks.contains(where: \.answersWithTokens)
        if !hasTokens, let asking = rules.firstIndex(where: { $0.contains(where: \.asksForToken) }) {
            self.report(
                blocks[asking].location, "\(blocks[asking].path.label) asks for a token, and no key verifies any",
                hint: "give server.auth.key, private_key, keys or key_set", severity: .warning)
        }
        if let last = rules.firstIndex(where: { $0.contains { $0.channels == "**" } }), last < rules.count - 1 {
            self.report(
                blocks[last + 1].location,
                "\(blocks[last + 1].path.label) never applies: every channel is decided by \(blocks[last].path.label)",
                hint: "the first that applies to a channel decides; move \"**\" to the end", severity: .warning)
        }
        return rules.flatMap(\.self)
    }

    /// One rule for each glob; they decide alike.
    private mutating func rules(from block: ConfigBlock) -> [PermissionRule] {
        guard let globs = block.list("channels"), let subscribe = block.grant("subscribe"),
            let publish = block.grant("publish")
        else { return [] }
        if globs.isEmpty { self.report(block.location(of: "channels"), "\(block.path.label): channels has no glob") }
        return globs.map { PermissionRule(channels: $0.value, subscribe: subscribe, publish: publish) }
    }
}

extension PermissionRule {
    /// Whether it grants anything to a client because of its token.
    var asksForToken: Bool {
        [self.subscribe, self.publish].contains { grant in
            switch grant {
            case .everyone, .nobody: false
            case .authenticated, .claims: true
            }
        }
    }
}

extension Grant {
    static let words = ["everyone", "authenticated", "nobody"]

    /// Nil for anything but the ``words``.
    init?(word: String) {
        switch word {
        case "everyone": self = .everyone
        case "authenticated": self = .authenticated
        case "nobody": self = .nobody
        default: return nil
        }
    }
}

extension TokenKeySource {
    /// The algorithms (RFC 7518, RFC 8037) that tokens may be signed with.
    static let algorithms = [
        "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512",
        "EdDSA",
    ]
}
