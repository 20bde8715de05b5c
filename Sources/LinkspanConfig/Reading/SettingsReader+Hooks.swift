internal import LinkspanBridgeKit
internal import LinkspanCore

/// `hooks`.
extension SettingsReader {
    /// As long as the digest; what is shorter is weaker than it, and a person's word can be guessed.
    private static let secretBytes = 32

    /// - Parameters:
    ///   - auth: `server.auth`.
    ///   - handshakeTimeout: `server.timing.handshake_timeout`.
    mutating func hooks(
        from blocks: [ConfigBlock], auth: ConfigBlock, handshakeTimeout: Duration
    ) -> [HookSettings] {
        let hooks = blocks.map { self.hook(from: $0) }
        for (block, hook) in zip(blocks, hooks)
        where hook.decides.contains(.handshake) && hook.timeout * (hook.retries + 1) >= handshakeTimeout {
            self.report(
                block.location(of: "timeout"),
                "\(block.path.label): server.timing.handshake_timeout ends a handshake before its attempts are over",
                hint: "choose a shorter timeout, or fewer retries", severity: .warning)
        }
        if let last = hooks.firstIndex(where: { $0.procedures.contains("**") }) {
            for (block, hook) in zip(blocks, hooks).dropFirst(last + 1) where !hook.procedures.isEmpty {
                self.report(
                    block.location(of: "procedures"),
                    "\(block.path.label): procedures never applies: every call is answered by \(blocks[last].path.label)",
                    hint: "the first that matches is asked; move \"**\" to the end", severity: .warning)
            }
        }
        if !auth.has("key"), !auth.has("private_key"), let index = hooks.firstIndex(where: \.answersWithTokens) {
            self.report(
                blocks[index].location,
                "\(blocks[index].path.label): tokens that it gives end with this process, because no key signs them",
                hint: "give server.auth.key or private_key, or write tokens: false", severity: .warning)
        }
        return hooks
    }

    private mutating func hook(from block: ConfigBlock) -> HookSettings {
        var hook = HookSettings(name: block.path.last, url: self.hookURL(in: block) ?? "")
        hook.procedures = block.list("procedures")?.map(\.value) ?? hook.procedures
        hook.decides =
            block.list("decides").map { Set($0.compactMap { HookDecision(rawValue: $0.value) }) } ?? hook.decides
        hook.channels = block.list("channels")?.map(\.value) ?? hook.channels
        hook.unavailable = block.choice("unavailable") ?? hook.unavailable
        hook.authorities = self.authorities(in: block)
        hook.secret = self.hookSecret(in: block)
        hook.givesTokens = block.boolean("tokens") ?? hook.givesTokens
        hook.timeout = block.duration("timeout") ?? hook.timeout
        hook.retries = block.integer("retries") ?? hook.retries
        hook.backoff = block.duration("backoff") ?? hook.backoff
        hook.concurrency = block.integer("concurrency") ?? hook.concurrency
        hook.queue = block.integer("queue") ?? hook.queue
        hook.breakerFailures = block.block("breaker").integer("failures") ?? hook.breakerFailures
        hook.breakerPause = block.block("breaker").duration("pause") ?? hook.breakerPause
        self.check(hook, in: block)
        return hook
    }

    private mutating func check(_ hook: HookSettings, in block: ConfigBlock) {
        if hook.procedures.isEmpty, hook.decides.isEmpty, !block.isWritten(wronglyAt: "procedures", "decides") {
            self.report(
                block.location, "\(block.path.label) is never asked: it has no procedures and decides nothing",
                hint: "give procedures, such as [login], or decides, such as [subscribe]")
        }
        if hook.channels.isEmpty {
            self.report(
                block.location(of: "channels"), "\(block.path.label): channels has no glob",
                hint: "write [\"**\"] for all channels")
        }
        if block.has("channels"), hook.decides.isDisjoint(with: [.subscribe, .publish]) {
            self.report(
                block.location(of: "channels"),
                "\(block.path.label): channels is for subscribe and publish, and it decides neither")
        }
        if block.has("unavailable"), hook.decides.isEmpty {
            self.report(
                block.location(of: "unavailable"),
                "\(block.path.label): unavailable is for decisions, and it makes none; calls of procedures fail")
        }
    }

    /// Nil when it is missing, or is no URL of a hook; that is reported.
    private mutating func hookURL(in block: ConfigBlock) -> String? {
        guard let text = block.text("url") else { return nil }
        do throws(ScalarProblem) {
            // A query may be there; all before it is as in the URL of a broker.
            let place = text.prefix { $0 != "?" && $0 != "#" }
            _ = try UpstreamURLReading.url(String(place), kind: "a hook", schemes: ["http": 80, "https": 443])
            guard !text.contains("#"), text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
                throw ScalarProblem("a URL of a hook has no fragment, blank or special character")
            }
            return text
        } catch {
            let isCredential = text.contains("@")
            self.report(
                block.location(of: "url"), "\(block.path.label): url: \(error.message)",
                hint: isCredential ? "let the service verify signatures: secret: \"${file:/path}\"" : error.hint)
            return nil
        }
    }

    /// Read here only to tell of a file that is not there.
    private mutating func authorities(in block: ConfigBlock) -> String? {
        let tls = block.block("tls")
        guard let path = tls.text("ca") else { return nil }
        do throws(FileProblem) {
            _ = try self.readFile(path)
        } catch {
            self.report(tls.location(of: "ca"), "\(block.path.label): tls.ca: cannot read \(path): \(error.reason)")
        }
        return path
    }

    private mutating func hookSecret(in block: ConfigBlock) -> Secret? {
        guard let secret = block.text("secret") else { return nil }
        let location = block.location(of: "secret")
        if secret.isEmpty {
            self.report(location, "\(block.path.label): secret is empty")
        } else if secret.utf8.count < Self.secretBytes {
            self.report(
                location, "\(block.path.label): secret has less than \(Self.secretBytes) bytes and may be guessed",
                hint: "make one with: openssl rand -hex 32", severity: .warning)
        }
        return Secret(secret)
    }
}

extension HookSettings {
    var answersWithTokens: Bool { self.givesTokens && !self.procedures.isEmpty }
}

extension ConfigBlock {
    /// Whether one of these keys has a value that was not taken, which is told already.
    fileprivate func isWritten(wronglyAt keys: String...) -> Bool {
        keys.contains { self.written.contains($0) && self.values[$0] == nil }
    }
}
