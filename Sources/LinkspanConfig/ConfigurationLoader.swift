public import LinkspanBridgeKit
public import LinkspanCore

/// A configuration that was taken.
public struct Configuration: Sendable {
    public var settings: LinkspanSettings
    /// Warnings only.
    public var diagnostics: [Diagnostic]
    /// Where its bridges send and receive.
    var site: Topology.Site
    /// Where each key path stands.
    var locations: [String: SourceLocation]
}

/// Reads `bridges.yaml`, the environment and flags into settings, and finds every problem at once. Touches no network.
public struct ConfigurationLoader: Sendable {
    /// The kinds of bridges that the configuration may name.
    public var kinds: [any Bridge.Type]
    public var environment: [String: String]
    /// Values that flags give, by dotted key path such as `server.clients.port`.
    public var flags: [String: FlagOverride]
    /// The machine's name: the default instance id, and `${HOSTNAME}` where the environment has none.
    public var hostName: String
    /// Reads what `${file:/path}` names.
    public var readFile: @Sendable (String) throws(FileProblem) -> String
    /// Why a key for tokens serves none of the algorithms, or nil; an empty list stands for all.
    public var problemOfKey: @Sendable (_ key: TokenKey, _ algorithms: [String]) -> String?
    /// What keeps a server from using a certificate and its key, both PEM texts; nil when nothing does.
    public var problemOfCertificate: @Sendable (_ certificate: String, _ key: String) -> CertificateProblem?
    /// Makes the bridges, offline (`BridgeHost.check`), to hear what they refuse; asked only when everything before is right, so that they may rely on it.
    public var verify: @Sendable (LinkspanSettings) throws(ConfigurationError) -> Void

    /// Which of `certificate` and `key` is wrong, and why.
    public typealias CertificateProblem = (key: String, reason: String)

    /// Longest file that `${file:/path}` takes in, in bytes.
    public static let substitutionLimit = 65_536

    public init(
        kinds: [any Bridge.Type], environment: [String: String], flags: [String: FlagOverride] = [:], hostName: String,
        readFile: @escaping @Sendable (String) throws(FileProblem) -> String = { path throws(FileProblem) in
            try TextFile.read(path, limit: ConfigurationLoader.substitutionLimit)
        },
        problemOfKey: @escaping @Sendable (_ key: TokenKey, _ algorithms: [String]) -> String? = { _, _ in nil },
        problemOfCertificate:
            @escaping @Sendable (_ certificate: String, _ key: String) -> CertificateProblem? = { _, _ in nil },
        verify: @escaping @Sendable (LinkspanSettings) throws(ConfigurationError) -> Void = { _ in }
    ) {
        self.kinds = kinds
        self.environment = environment
        self.flags = flags
        self.hostName = hostName
        self.readFile = readFile
        self.problemOfKey = problemOfKey
        self.problemOfCertificate = problemOfCertificate
        self.verify = verify
    }

    /// Reads the file at `path`.
    ///
    /// - Throws: ``ConfigurationRejected`` with every problem found; a file that cannot be read is one.
    public func load(file path: String) throws(ConfigurationRejected) -> Configuration {
        let text: String
        do throws(FileProblem) {
            text = try TextFile.read(path, limit: YAMLDocument.Limit.textBytes)
        } catch {
            throw ConfigurationRejected(
                fileName: path,
                diagnostics: [
                    Diagnostic(
                        at: .document, "cannot be read: \(error.reason)", hint: "give another file with --config FILE")
                ])
        }
        return try self.load(text, fileName: path)
    }

    /// Reads `text`; `fileName` only goes into messages.
    ///
    /// - Throws: ``ConfigurationRejected`` with every problem found.
    public func load(_ text: String, fileName: String) throws(ConfigurationRejected) -> Configuration {
        let document: YAMLDocument
        do throws(YAMLSyntaxError) {
            document = try YAMLParser.parse(text)
        } catch {
            let location = error.mark.map(SourceLocation.init) ?? .document
            throw ConfigurationRejected(
                fileName: fileName, diagnostics: [Diagnostic(at: location, error.message, hint: error.hint)])
        }
        var diagnostics: [Diagnostic] = []
        let configuration = self.configuration(from: document, label: fileName, diagnostics: &diagnostics)
        guard var configuration, !diagnostics.contains(where: { $0.severity == .error }) else {
            throw ConfigurationRejected(fileName: fileName, diagnostics: diagnostics)
        }
        configuration.diagnostics = diagnostics
        return configuration
    }

    private func configuration(
        from document: YAMLDocument, label: String, diagnostics: inout [Diagnostic]
    ) -> Configuration? {
        var environment = self.environment
        // Shells know HOSTNAME but seldom export it.
        if environment["HOSTNAME"] == nil { environment["HOSTNAME"] = self.hostName }
        var reader = DocumentReader(
            interpolation: Interpolation(environment: environment, readFile: self.readFile),
            environment: self.environment,
            flags: self.flags)
        let root = reader.read(document, as: .linkspan(kinds: self.kinds))
        var settingsReader = SettingsReader(
            kinds: self.kinds, hostName: self.hostName, readFile: self.readFile, problemOfKey: self.problemOfKey,
            problemOfCertificate: self.problemOfCertificate)
        let settings = settingsReader.settings(from: root)
        diagnostics = reader.diagnostics + settingsReader.diagnostics
        defer { diagnostics.sort { $0.location.sortKey < $1.location.sortKey } }
        guard let settings else { return nil }
        let site = TopologyReading.site(settings, label: label, kinds: self.kinds)
        if !diagnostics.contains(where: { $0.severity == .error }) {
            diagnostics += self.problemsOfBridges(in: settings, locations: reader.locations)
            diagnostics += Topology([site]).findings().map { TopologyReading.diagnostic($0, reader.locations) }
        }
        return Configuration(settings: settings, diagnostics: [], site: site, locations: reader.locations)
    }

    /// What only shows when the bridges are made, such as a promise that an upstream cannot keep.
    private func problemsOfBridges(in settings: LinkspanSettings, locations: [String: SourceLocation]) -> [Diagnostic] {
        do throws(ConfigurationError) {
            try self.verify(settings)
            return []
        } catch {
            return error.problems.map { problem in
                let label = KeyPathText(keys: problem.path.split(separator: ".").map(String.init)).label
                // Some bridges name themselves.
                let isLabelled = problem.message.hasPrefix("bridge ") || problem.message.hasPrefix("broker ")
                return Diagnostic(
                    at: locations.nearest(to: problem.path),
                    isLabelled ? problem.message : "\(label): \(problem.message)", hint: problem.hint)
            }
        }
    }
}
