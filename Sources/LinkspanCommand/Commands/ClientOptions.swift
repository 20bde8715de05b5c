internal import ArgumentParser
internal import LinkspanClient
internal import LinkspanConfig
internal import Logging

/// Which server a client of the shell talks to.
struct ClientOptions: ParsableArguments {
    @Option(help: "The server: ws://host:port/path or wss://...")
    var url = "ws://127.0.0.1:8000\(ClientURL.defaultTarget)"

    @Option(help: "JSON Web Token to log in with; other users of the machine can see it, --token-file they cannot.")
    var token: String?

    @Option(help: "File with the token.")
    var tokenFile: String?

    @Option(help: "Authorities to trust for wss:// (PEM), instead of the system's.")
    var ca: String?

    @Flag(name: .shortAndLong, help: "Say nothing on standard error but errors.")
    var quiet = false

    /// Longest token file, in bytes; a token must fit into one handshake.
    private static let tokenLimit = 65_536

    /// - Throws: `ValidationError` for a bad URL or a token that cannot be read.
    func settings() throws -> ClientSettings {
        do {
            var settings = ClientSettings(url: try ClientURL(self.url))
            settings.authToken = try self.readToken()
            settings.authorities = self.ca
            return settings
        } catch let error as ClientError {
            throw ValidationError("--url: \(error.message)")
        }
    }

    private func readToken() throws -> String? {
        guard let path = self.tokenFile else { return self.token }
        guard self.token == nil else { throw ValidationError("--token and --token-file: give one of them") }
        do throws(FileProblem) {
            return String(try TextFile.read(path, limit: Self.tokenLimit).prefix { !$0.isWhitespace })
        } catch {
            throw ValidationError("--token-file: cannot read \(path): \(error.reason)")
        }
    }

    func tell(_ text: String) {
        if !self.quiet { Terminal.printError(text) }
    }

    /// Clients of the shell tell what happens in their own words, and log nothing beside.
    static let logger = Logger(label: "linkspan.client") { _ in SwiftLogNoOpLogHandler() }
}

extension ClientError {
    var exitStatus: ExitStatus {
        switch self.code {
        case .refused, .notAccepted, .dismissed: .refused
        case .timedOut: .timedOut
        case .unreachable, .untrusted, .lost, .stopped: .unreachable
        default: .failure
        }
    }
}

extension ClientEvent {
    /// For people; nil for what is data.
    func description(url: ClientURL) -> String? {
        switch self {
        case .connected(let isAuthenticated, let authError):
            let token = authError.map { "; token not taken: \($0)" } ?? (isAuthenticated ? ", authenticated" : "")
            return "connected to \(url)\(token)"
        case .disconnected(let error, let retryIn):
            return "\(error.message); next try in \(Self.text(retryIn))"
        case .subscribed(let channel): return "subscribed to \(channel)"
        case .subscribeRefused(let channel, let reason): return "not subscribed to \(channel): \(reason)"
        case .kickedOut(let channel, let reason): return "kicked out of \(channel)" + (reason.map { ": \($0)" } ?? "")
        case .message: return nil
        }
    }

    /// Tenths of seconds.
    private static func text(_ duration: Duration) -> String {
        let tenths = Int64((duration / .milliseconds(100)).rounded(.up))
        return "\(tenths / 10).\(tenths % 10) s"
    }
}
