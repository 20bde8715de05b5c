internal import LinkspanBridgeKit
internal import LinkspanConfig
internal import LinkspanCore
internal import LinkspanServer
internal import Testing

/// A kind of bridge with one option of each sort, which refuses what Redis Pub/Sub would.
struct PlainBridge: Bridge {
    static let kind = "plain"
    static let schemes = ["plain": 1000, "plains": 1001]
    static let defaultNameTemplate = "sc/{channel}"
    static let nameRules = NameRules(reserved: [UInt8(ascii: "#")], escapesControls: true, lengthLimit: 200)
    static let namespaceOptions = ["mode"]
    static let options = [
        OptionDeclaration("mode", .choice(["pubsub", "streams"]), default: "pubsub", "How."),
        OptionDeclaration("window", .integer(1...100), default: "10", "How many."),
        OptionDeclaration("keepalive", .duration(.seconds(5) ... .seconds(60)), default: "30s", "How long."),
        OptionDeclaration("block", .size(1024...65_536), default: "4KiB", "How much."),
        OptionDeclaration("retain", .boolean, default: "false", "Whether."),
        OptionDeclaration("client", .text, default: "linkspan", "Who."),
    ]

    let carriesHeader = true
    let groupSupport: GroupSupport

    init(settings: BridgeSettings) throws(ConfigurationError) {
        self.groupSupport = settings.text("mode") == "streams" ? .byName : .none
        if settings.guarantee == .atLeastOnce, settings.text("mode") == "pubsub" {
            throw ConfigurationError(
                path: "bridges.\(settings.name).guarantee",
                message: "at_least_once is not possible with plain mode pubsub",
                hint: "choose plain mode streams, or guarantee at_most_once")
        }
    }

    func run(on link: BridgeLink) async throws {}
}

/// The loader as the command line makes it, with nothing of this machine in it.
func loader(
    environment: [String: String] = [:], flags: [String: FlagOverride] = [:], files: [String: String] = [:]
) -> ConfigurationLoader {
    ConfigurationLoader(
        kinds: [PlainBridge.self], environment: environment, flags: flags, hostName: "host-1",
        readFile: { path throws(FileProblem) in
            guard let text = files[path] else { throw FileProblem("No such file or directory") }
            return text
        },
        problemOfKey: TokenKeys.problem,
        problemOfCertificate: { certificate, key in
            CertificateProblem.find(certificate: certificate, key: key).map { ($0.file.rawValue, $0.reason) }
        },
        verify: { settings throws(ConfigurationError) in try BridgeHost.check(settings, bridges: [PlainBridge.self]) })
}

/// Everything that is told about `text`; empty when it is taken without a word.
func complaints(_ text: String, environment: [String: String] = [:], files: [String: String] = [:]) -> String {
    do throws(ConfigurationRejected) {
        let configuration = try loader(environment: environment, files: files).load(text, fileName: "bridges.yaml")
        return configuration.diagnostics.map { $0.text(fileName: "bridges.yaml") }.joined(separator: "\n")
    } catch {
        return error.description
    }
}

func settings(
    _ text: String, environment: [String: String] = [:], flags: [String: FlagOverride] = [:],
    files: [String: String] = [:]
) throws -> LinkspanSettings {
    try loader(environment: environment, flags: flags, files: files).load(text, fileName: "bridges.yaml").settings
}

/// A right configuration with one broker and one bridge, and further lines below the bridge.
func withBridge(_ lines: String...) -> String {
    """
    version: 1
    brokers:
      hub: { type: plain, urls: [ "plain://127.0.0.1" ] }
    bridges:
      one:
        broker: hub

    """ + lines.map { "    \($0)\n" }.joined()
}
