/// What a rule promises for each of its messages.
public enum Guarantee: String, Sendable, Hashable, CaseIterable {
    case atMostOnce = "at_most_once"
    case atLeastOnce = "at_least_once"
}

/// One URL of an upstream, taken apart.
public struct UpstreamURL: Hashable, Sendable, CustomStringConvertible {
    public var scheme: String
    public var host: String
    public var port: Int
    /// The path without its leading `/`, percent-decoded: the AMQP virtual host; nil when the URL has none.
    public var path: String?

    public init(scheme: String, host: String, port: Int, path: String? = nil) {
        self.scheme = scheme
        self.host = host
        self.port = port
        self.path = path
    }

    /// Never contains credentials.
    public var description: String {
        let host = self.host.utf8.contains(UInt8(ascii: ":")) ? "[\(self.host)]" : self.host
        return "\(self.scheme)://\(host):\(self.port)" + (self.path.map { "/\($0)" } ?? "")
    }
}

/// A password or key. Prints as `<redacted>` wherever it is printed.
public struct Secret: Sendable, Hashable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public let value: String
    public init(_ value: String) { self.value = value }
    public var description: String { "<redacted>" }
    public var debugDescription: String { "<redacted>" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// Files that TLS needs, all PEM.
public struct TLSFiles: Sendable, Hashable {
    /// Authorities to trust; nil means the system's.
    public var authorities: String?
    /// Our certificate, for upstreams that ask for one.
    public var certificate: String?
    public var key: String?

    public init(authorities: String? = nil, certificate: String? = nil, key: String? = nil) {
        self.authorities = authorities
        self.certificate = certificate
        self.key = key
    }
}

/// Declares one key of a bridge's own block: its checks, its reference page and its schema come from here.
public struct OptionDeclaration: Sendable, Hashable {
    public enum Kind: Sendable, Hashable {
        case text
        case boolean
        case integer(ClosedRange<Int>)
        case duration(ClosedRange<Duration>)
        /// Bytes.
        case size(ClosedRange<Int>)
        case choice([String])
    }

    public var key: String
    public var kind: Kind
    /// As it would be written in the file.
    public var defaultText: String
    public var summary: String

    public init(_ key: String, _ kind: Kind, default defaultText: String, _ summary: String) {
        self.key = key
        self.kind = kind
        self.defaultText = defaultText
        self.summary = summary
    }
}

/// A checked value of one option.
public enum OptionValue: Sendable, Hashable {
    case text(String)
    case boolean(Bool)
    case integer(Int)
    case duration(Duration)
    case size(Int)
}

/// Everything a bridge is told when it is made.
public struct BridgeSettings: Sendable {
    /// The bridge's name in `bridges.yaml`.
    public var name: String
    public var instance: InstanceID
    /// In order of preference; the host says at each attempt which one to use.
    public var urls: [UpstreamURL]
    public var username: String?
    public var password: Secret?
    public var tls: TLSFiles
    public var guarantee: Guarantee
    public var receives: Bool
    public var sends: Bool
    /// The group of instances that share what arrives: the upstream gives each message to one of them. Nil: each instance gets everything.
    ///
    /// 1 to 64 characters of `A-Z a-z 0-9 . _ -`. Only given to a bridge that sends no messages of channels, and only where
    /// ``Bridge/groupSupport`` admits it.
    public var consumerGroup: String?
    /// Upstream names that each instance has to hear, whatever the group: ``UpstreamFilter/exact(_:)`` filters with one of them are not
    /// shared, and what is sent under them must reach all. Empty without a group.
    public var unsharedNames: Set<String> = []
    /// Where the options stand in the file, for messages: `brokers.plant.mqtt`.
    public var optionsPath: String
    /// Given and default values of ``Bridge/options``, complete: the configuration has checked kinds and ranges.
    public var options: [String: OptionValue]

    public init(
        name: String, instance: InstanceID, urls: [UpstreamURL], username: String? = nil, password: Secret? = nil,
        tls: TLSFiles = TLSFiles(), guarantee: Guarantee = .atMostOnce, receives: Bool = true, sends: Bool = true,
        optionsPath: String = "", options: [String: OptionValue] = [:]
    ) {
        self.name = name
        self.instance = instance
        self.urls = urls
        self.username = username
        self.password = password
        self.tls = tls
        self.guarantee = guarantee
        self.receives = receives
        self.sends = sends
        self.optionsPath = optionsPath
        self.options = options
    }

    /// Whether the instances of the group share what this filter brings.
    public func isShared(_ filter: UpstreamFilter) -> Bool {
        guard self.consumerGroup != nil, case .exact(let name) = filter else { return self.consumerGroup != nil }
        return !self.unsharedNames.contains(name)
    }

    /// - Precondition: `key` is declared with that kind in ``Bridge/options``. The same holds for the other accessors.
    public func text(_ key: String) -> String {
        guard case .text(let value) = self.options[key] else {
            preconditionFailure("option \(key) is not declared as text")
        }
        return value
    }

    public func boolean(_ key: String) -> Bool {
        guard case .boolean(let value) = self.options[key] else {
            preconditionFailure("option \(key) is not declared as boolean")
        }
        return value
    }

    public func integer(_ key: String) -> Int {
        guard case .integer(let value) = self.options[key] else {
            preconditionFailure("option \(key) is not declared as integer")
        }
        return value
    }

    public func duration(_ key: String) -> Duration {
        guard case .duration(let value) = self.options[key] else {
            preconditionFailure("option \(key) is not declared as duration")
        }
        return value
    }

    public func size(_ key: String) -> Int {
        guard case .size(let value) = self.options[key] else {
            preconditionFailure("option \(key) is not declared as size")
        }
        return value
    }
}

/// One or more things that are wrong with a configuration.
public struct ConfigurationError: Error, Sendable, CustomStringConvertible {
    public struct Problem: Sendable, Hashable {
        /// Key path from the top of the file, such as `brokers.plant.mqtt.version`.
        public var path: String
        public var message: String
        /// What to do instead, when we know.
        public var hint: String?

        public init(path: String, message: String, hint: String? = nil) {
            self.path = path
            self.message = message
            self.hint = hint
        }
    }

    public var problems: [Problem]

    public init(_ problems: [Problem]) {
        self.problems = problems
    }

    public init(path: String, message: String, hint: String? = nil) {
        self.problems = [Problem(path: path, message: message, hint: hint)]
    }

    public var description: String {
        self.problems.map { problem in
            "\(problem.path): \(problem.message)" + (problem.hint.map { "\n    \($0)" } ?? "")
        }.joined(separator: "\n")
    }
}
