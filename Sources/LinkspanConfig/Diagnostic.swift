/// Where a value of the configuration came from.
public enum SourceLocation: Hashable, Sendable {
    case file(line: Int, column: Int)
    /// The file as a whole.
    case document
    case environment(String)
    case flag(String)
}

/// One thing that is wrong, or unwise, in a configuration.
public struct Diagnostic: Hashable, Sendable {
    public enum Severity: String, Sendable, Hashable {
        /// The configuration is refused.
        case error
        /// It is taken, and works as written.
        case warning
    }

    public var severity: Severity
    public var location: SourceLocation
    public var message: String
    /// What to do instead, when we know; may have several lines.
    public var hint: String?

    public init(_ severity: Severity = .error, at location: SourceLocation, _ message: String, hint: String? = nil) {
        self.severity = severity
        self.location = location
        self.message = message
        self.hint = hint
    }

    /// One line such as `bridges.yaml:24:5: message`, and the hint below it, four spaces in.
    public func text(fileName: String) -> String {
        let place =
            switch self.location {
            case .file(let line, let column): "\(fileName):\(line):\(column)"
            case .document: fileName
            case .environment(let name): name
            case .flag(let name): name
            }
        let severity = self.severity == .warning ? "warning: " : ""
        let hint = self.hint.map { "\n" + $0.split(separator: "\n").map { "    \($0)" }.joined(separator: "\n") } ?? ""
        return "\(place): \(severity)\(self.message)\(hint)"
    }
}

/// A configuration that was refused, with everything that is wrong in it.
public struct ConfigurationRejected: Error, Sendable, CustomStringConvertible {
    public var fileName: String
    /// In the order of the file; at least one is an error.
    public var diagnostics: [Diagnostic]

    public init(fileName: String, diagnostics: [Diagnostic]) {
        self.fileName = fileName
        self.diagnostics = diagnostics
    }

    public var description: String {
        self.diagnostics.map { $0.text(fileName: self.fileName) }.joined(separator: "\n")
    }
}

extension SourceLocation {
    init(_ mark: Mark) {
        self = .file(line: mark.line, column: mark.column)
    }

    /// Places in the file by line and column, then the environment and flags by name.
    var sortKey: (Int, Int, Int, String) {
        switch self {
        case .document: (0, 0, 0, "")
        case .file(let line, let column): (1, line, column, "")
        case .environment(let name): (2, 0, 0, name)
        case .flag(let name): (3, 0, 0, name)
        }
    }
}
