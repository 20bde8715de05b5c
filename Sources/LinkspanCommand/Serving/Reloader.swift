internal import LinkspanAdmin
internal import LinkspanConfig
internal import LinkspanCore
internal import LinkspanServer
internal import Logging
internal import ServiceLifecycle
internal import Synchronization
internal import UnixSignals

/// Takes up new keys, permissions, hooks and certificates while the server runs: all of them on SIGHUP, a certificate also when its files change.
struct Reloader: Service {
    let server: LinkspanServer
    /// What the instance was started with.
    let settings: LinkspanSettings
    let load: @Sendable () throws(ConfigurationRejected) -> LinkspanSettings
    /// Made before anything else runs, so that no signal comes too early.
    let signals: UnixSignalsSequence
    let counts: ReloadCounter
    let logger: Logger

    /// How often the files of the certificate are looked at; a change is taken up at the second look.
    private static let watchInterval = Duration.seconds(2)

    func run() async throws {
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                for await _ in self.signals.cancelOnGracefulShutdown() { await self.reload() }
            }
            if let files = self.settings.server.certificate {
                group.addTask { await cancelWhenGracefulShutdown { await self.watch(files) } }
            }
        }
    }

    private func reload() async {
        let new: LinkspanSettings
        do throws(ConfigurationRejected) {
            new = try self.load()
        } catch {
            for problem in error.diagnostics where problem.severity == .error {
                self.failed("Configuration is not taken, the old one stays", problem.text(fileName: error.fileName))
            }
            return self.counts.failed()
        }
        var isDone = true
        do {
            try await self.server.reloadKeys(new.server.auth)
        } catch {
            self.failed("Keys for tokens are not taken, the old ones stay", "\(error)")
            isDone = false
        }
        do {
            try await self.server.reload(permissions: new.server.permissions, hooks: new.server.hooks)
        } catch {
            self.failed("Permissions and hooks are not taken, the old ones stay", "\(error)")
            isDone = false
        }
        if !self.reloadCertificate(new.server.certificate) { isDone = false }
        guard isDone else { return self.counts.failed() }
        self.counts.succeeded()
        self.logger.notice("Keys, permissions, hooks and certificates are read again")
        let rest = Self.changesForRestart(from: self.settings, to: new)
        if !rest.isEmpty {
            self.logger.notice(
                "Some changes need a restart", metadata: ["changes": "\(rest.joined(separator: ", "))"])
        }
    }

    private func watch(_ files: CertificateFiles) async {
        let paths = [files.certificate, files.key]
        var watch = FileWatch(paths.map(FileWatch.Stamp.init))
        while !Task.isCancelled {
            try? await Task.sleep(for: Self.watchInterval)
            guard watch.isChanged(paths.map(FileWatch.Stamp.init)) else { continue }
            guard self.reloadCertificate(nil) else {
                self.counts.failed()
                continue
            }
            self.counts.succeeded()
            self.logger.notice("The certificate is read again")
        }
    }

    /// - Parameter files: others than those that the instance was started with.
    private func reloadCertificate(_ files: CertificateFiles?) -> Bool {
        do throws(CertificateProblem) {
            try self.server.reloadCertificate(files)
            return true
        } catch {
            self.failed("The certificate is not taken, the old one stays", "\(error)")
            return false
        }
    }

    private func failed(_ message: Logger.Message, _ reason: String) {
        self.logger.error(message, metadata: ["error.reason": "\(reason)"])
    }

    /// The keys of the file whose changes are not taken up.
    static func changesForRestart(from old: LinkspanSettings, to new: LinkspanSettings) -> [String] {
        var changes: [String] = []
        if old.instance != new.instance { changes.append("instance") }
        if self.rest(of: old.server, with: new.server) != new.server { changes.append("server") }
        if old.upstreams != new.upstreams { changes.append("brokers") }
        if old.bridges != new.bridges { changes.append("bridges") }
        return changes
    }

    /// `old` with what is taken up, or told of by itself, from `new`.
    private static func rest(of old: ServerSettings, with new: ServerSettings) -> ServerSettings {
        var settings = old
        settings.auth = new.auth
        settings.auth.anonymous = old.auth.anonymous
        settings.permissions = new.permissions
        settings.hooks = new.hooks
        if old.certificate != nil, new.certificate != nil { settings.certificate = new.certificate }
        return settings
    }
}

/// Counts reloads. Any thread.
final class ReloadCounter: Sendable {
    private let counts = Mutex(ReloadCounts())

    var current: ReloadCounts { self.counts.withLock { $0 } }

    func succeeded() { self.counts.withLock { $0.succeeded += 1 } }

    func failed() { self.counts.withLock { $0.failed += 1 } }
}
