internal import ArgumentParser
internal import LinkspanConfig
internal import LinkspanCore
internal import LinkspanWire

struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Tell everything that is wrong with a configuration, offline.",
        discussion: """
            Exit status 0 when it can be served, 78 when not. With --with it tells also what loops, comes twice or collides \
            between several sites that share brokers.
            """)

    @OptionGroup var source: ConfigurationOptions

    @Argument(help: "The file to read, instead of --config.")
    var file: String?

    @Option(name: .customLong("with"), help: "A file of another site; may be given several times.")
    var others: [String] = []

    @Flag(help: "Take warnings for errors.")
    var strict = false

    @Flag(help: "Print the result as JSON on standard output.")
    var json = false

    func run() throws {
        let loader = ConfigurationOptions.loader()
        var reports = ([self.file ?? self.source.path] + self.others).map { CheckReport(path: $0, loader: loader) }
        CheckReport.compare(&reports)
        let isRefused = reports.contains { $0.hasErrors || self.strict && !$0.diagnostics.isEmpty }
        if self.json {
            let texts = reports.map { $0.json(isStrict: self.strict) }
            Terminal.printOutput(self.others.isEmpty ? texts[0] : "[\(texts.joined(separator: ","))]")
        } else {
            for report in reports { report.tell() }
            if !isRefused { for report in reports { Terminal.printOutput(report.summary) } }
        }
        if isRefused { throw ExitStatus.configuration.exitCode }
    }
}

/// What a check of one file found.
struct CheckReport {
    var path: String
    var diagnostics: [Diagnostic]
    private var configuration: Configuration?

    init(path: String, loader: ConfigurationLoader) {
        self.path = path
        do throws(ConfigurationRejected) {
            let configuration = try loader.load(file: path)
            self.diagnostics = configuration.diagnostics
            self.configuration = configuration
        } catch {
            self.diagnostics = error.diagnostics
        }
    }

    var hasErrors: Bool { self.diagnostics.contains { $0.severity == .error } }

    /// Adds what only shows when the files are seen together. Files that are wrong by themselves are left out.
    static func compare(_ reports: inout [CheckReport]) {
        let sound = reports.indices.filter { reports[$0].configuration != nil }
        guard sound.count > 1 else { return }
        let findings = TopologyReading.findings(in: sound.compactMap { reports[$0].configuration })
        for (index, found) in zip(sound, findings) { reports[index].diagnostics += found }
    }

    func tell() {
        for diagnostic in self.diagnostics { Terminal.printError(diagnostic.text(fileName: self.path)) }
    }

    /// `bridges.yaml: right; 2 brokers, 3 bridges`, and the hooks where there are any.
    var summary: String {
        let brokers = self.configuration?.settings.upstreams.count ?? 0
        let bridges = Set(self.configuration?.settings.bridges.map(\.declaration) ?? []).count
        let hooks = self.configuration?.settings.server.hooks.count ?? 0
        return "\(self.path): right; \(Self.count(brokers, "broker")), \(Self.count(bridges, "bridge"))"
            + (hooks == 0 ? "" : ", \(Self.count(hooks, "hook"))")
    }

    private static func count(_ number: Int, _ noun: String) -> String {
        "\(number) \(noun)" + (number == 1 ? "" : "s")
    }

    func json(isStrict: Bool) -> String {
        let isRefused = self.hasErrors || isStrict && !self.diagnostics.isEmpty
        var text: [UInt8] = []
        text.put("{\"file\":")
        text.putJSONString(self.path)
        text.put(isRefused ? ",\"ok\":false,\"problems\":[" : ",\"ok\":true,\"problems\":[")
        for (index, diagnostic) in self.diagnostics.enumerated() {
            if index > 0 { text.put(",") }
            Self.put(diagnostic, into: &text)
        }
        text.put("]}")
        return String(decoding: text, as: UTF8.self)
    }

    private static func put(_ diagnostic: Diagnostic, into text: inout [UInt8]) {
        text.put("{\"severity\":")
        text.putJSONString(diagnostic.severity.rawValue)
        switch diagnostic.location {
        case .file(let line, let column):
            text.put(",\"line\":")
            text.put(decimal: Int64(line))
            text.put(",\"column\":")
            text.put(decimal: Int64(column))
        case .environment(let name):
            text.put(",\"variable\":")
            text.putJSONString(name)
        case .flag(let name):
            text.put(",\"flag\":")
            text.putJSONString(name)
        case .document:
            break
        }
        text.put(",\"message\":")
        text.putJSONString(diagnostic.message)
        if let hint = diagnostic.hint {
            text.put(",\"hint\":")
            text.putJSONString(hint)
        }
        text.put("}")
    }
}
