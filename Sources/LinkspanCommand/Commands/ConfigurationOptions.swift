internal import ArgumentParser
internal import Glibc
internal import LinkspanBridgeKit
internal import LinkspanConfig
internal import LinkspanCore
internal import LinkspanServer

/// Which configuration, and what the command line changes in it.
struct ConfigurationOptions: ParsableArguments {
    @Option(name: [.short, .long], help: "The file to read; LINKSPAN_CONFIG or bridges.yaml when not given.")
    var config: String?

    var path: String {
        self.config ?? ProcessEnvironment.all["LINKSPAN_CONFIG"].flatMap { $0.isEmpty ? nil : $0 } ?? "bridges.yaml"
    }

    /// - Throws: `ExitCode` 78 after telling every problem on standard error.
    func load(flags: [String: FlagOverride]) throws -> Configuration {
        do throws(ConfigurationRejected) {
            let configuration = try Self.loader(flags: flags).load(file: self.path)
            for warning in configuration.diagnostics { Terminal.printError(warning.text(fileName: self.path)) }
            return configuration
        } catch {
            Terminal.printError(error.description)
            throw ExitStatus.configuration.exitCode
        }
    }

    static func loader(flags: [String: FlagOverride] = [:]) -> ConfigurationLoader {
        let kinds = BridgeKinds.known
        return ConfigurationLoader(
            kinds: kinds, environment: ProcessEnvironment.all, flags: flags, hostName: ProcessEnvironment.hostName,
            problemOfKey: TokenKeys.problem,
            problemOfCertificate: { certificate, key in
                CertificateProblem.find(certificate: certificate, key: key).map { ($0.file.rawValue, $0.reason) }
            },
            verify: { settings throws(ConfigurationError) in try BridgeHost.check(settings, bridges: kinds) })
    }
}

/// What the process was started with.
enum ProcessEnvironment {
    static let all: [String: String] = {
        var variables: [String: String] = [:]
        var next = environ
        while let entry = next.pointee {
            let text = String(cString: entry)
            if let equals = text.firstIndex(of: "=") {
                variables[String(text[..<equals])] = String(text[equals...].dropFirst())
            }
            next = next.successor()
        }
        return variables
    }()

    /// The machine's name without its domain; empty when it has none.
    static let hostName: String = {
        let bytes = [CChar](unsafeUninitializedCapacity: 256) { buffer, count in
            guard let start = buffer.baseAddress, gethostname(start, buffer.count) == 0 else { return }
            count = strnlen(start, buffer.count)
        }
        return String(decoding: bytes.map(UInt8.init(bitPattern:)).prefix { $0 != UInt8(ascii: ".") }, as: UTF8.self)
    }()
}
