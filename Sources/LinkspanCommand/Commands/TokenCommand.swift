internal import ArgumentParser
internal import Glibc
internal import LinkspanConfig
internal import LinkspanCore
internal import LinkspanServer
internal import LinkspanWire

struct TokenCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token", abstract: "Make and check the tokens that clients log in with.",
        discussion: "Keys and rules are those of server.auth in the configuration.",
        subcommands: [TokenMakeCommand.self, TokenCheckCommand.self])
}

struct TokenMakeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "make", abstract: "Print a token for a client.",
        discussion:
            "Exit status 65 when the claims are not a JSON object, 78 when the configuration has no key that signs.")

    @OptionGroup var source: ConfigurationOptions

    @Option(help: "What the token says about its owner: a JSON object such as {\"sub\":\"ann\",\"role\":\"admin\"}.")
    var claims = "{}"

    @Option(help: "Life of the token, such as 1h, instead of server.auth.expiry.")
    var expiry: String?

    func run() async throws {
        let claims = try self.readClaims()
        var settings = try self.source.load(flags: [:]).settings.server.auth
        guard settings.signingKey != nil else {
            Terminal.printError(
                "\(self.source.path): no key signs tokens\n    give server.auth.key or server.auth.private_key")
            throw ExitStatus.configuration.exitCode
        }
        settings.expiry = try self.readExpiry(claims) ?? settings.expiry
        do {
            Terminal.printOutput(try await TokenKeys(settings: settings).sign(claims, now: Int64(time(nil))))
        } catch let error as TokenKeyError {
            Terminal.printError("\(self.source.path): \(error)")
            throw ExitStatus.configuration.exitCode
        }
    }

    private func readClaims() throws -> TokenClaims {
        guard let claims = TokenClaims(json: Array(self.claims.utf8)), claims.isObject else {
            Terminal.printError("--claims: expected a JSON object such as {\"sub\":\"ann\"}")
            throw ExitStatus.badData.exitCode
        }
        return claims
    }

    private func readExpiry(_ claims: TokenClaims) throws -> Duration? {
        guard let text = self.expiry else { return nil }
        guard claims.value(named: "exp") == nil else {
            throw ValidationError("--expiry and exp in --claims: give one of them")
        }
        guard let expiry = Quantity.duration(text), expiry >= .seconds(1) else {
            throw ValidationError("--expiry: expected a duration of 1s or more such as 1h, found \"\(text)\"")
        }
        return expiry
    }
}

struct TokenCheckCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Print the claims of a token that the server would accept.",
        discussion: "Exit status 77 when it would not, 78 when the configuration has no key that verifies.")

    @OptionGroup var source: ConfigurationOptions

    @Argument(help: "The token, or - to read it from standard input.")
    var token: String

    func run() async throws {
        let settings = try self.source.load(flags: [:]).settings.server.auth
        guard settings.signingKey != nil || !settings.verifyKeys.isEmpty else {
            Terminal.printError(
                "\(self.source.path): no key verifies tokens\n    give server.auth.key, private_key, keys or key_set")
            throw ExitStatus.configuration.exitCode
        }
        let keys: TokenKeys
        do {
            keys = try await TokenKeys(settings: settings)
        } catch {
            Terminal.printError("\(self.source.path): \(error)")
            throw ExitStatus.configuration.exitCode
        }
        do throws(TokenRefusal) {
            let claims = try keys.verify(self.readToken(), now: Double(time(nil)))
            Terminal.printOutput(String(decoding: claims.json.utf8, as: UTF8.self))
        } catch {
            Terminal.printError("not accepted: \(error.error(.v2).message)")
            throw ExitStatus.refused.exitCode
        }
    }

    private func readToken() -> String {
        let text = self.token == "-" ? readLine() ?? "" : self.token
        return String(text.prefix { !$0.isWhitespace })
    }
}
