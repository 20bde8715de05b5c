internal import ArgumentParser
internal import LinkspanConfig
internal import LinkspanCore
internal import LinkspanWire

struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Tell everything that is wrong with a configuration, offline.",
        discussion: "Exit status 0 when it can be served, 78 when not.")

    @OptionGroup var source: ConfigurationOptions

    @Argument(help: "The file to read, instead of --config.")
    var file: String?

    @Flag(help: "Take warnings for errors.")
    var strict = false

    @Flag(help: "Print the result as JSON on standard output.")
    var json = false

    func run() throws {
        let path = self.file ?? self.source.path
        let report = CheckReport(path: path, loader: ConfigurationOptions.loader())
        let isRefused = report.hasErrors || self.strict && !report.diagnostics.isEmpty
        if self.json {
            Terminal.printOutput(report.json(isRefused: isRefused))
        } else {
            for diagnostic in report.diagnostics { Terminal.printError(diagnostic.text(fileName: path)) }
            if !isRefused { Terminal.printOutput(report.summary) }
        }
        if isRefused { throw ExitStatus.configuration.exitCode }
    }
}

/// What a check of one file found.
struct CheckReport {
    var path: String
    var diagnostics: [Diagnostic]
    private var settings: LinkspanSettings?

    init(path: String, loader: ConfigurationLoader) {
        self.path = path
        do throws(ConfigurationRejected) {
            let configuration = try loader.load(file: path)
            self.diagnostics = configuration.diagnostics
            self.settings = configuration.settings
        } catch {
            self.diagnostics = error.diagnostics
        }
    }

    var hasErrors: Bool { self.diagnostics.contains { $0.severity == .error } }

    /// `bridges.yaml: right; 2 brokers, 3 bridges`, and the hooks where there are any.
    var summary: String {
        let brokers = self.settings?.upstreams.count ?? 0
        let bridges = self.settings?.bridges.count ?? 0
        let hooks = self.settings?.server.hooks.count ?? 0
        return "\(self.path): right; \(Self.count(brokers, "broker")), \(Self.count(bridges, "bridge"))"
            + (hooks == 0 ? "" : ", \(Self.count(hooks, "hook"))")
    }

    private static func count(_ number: Int, _ noun: String) -> String {
        "\(number) \(noun)" + (number == 1 ? "" : "s")
    }

    func json(isRefused: Bool) -> String {
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
