/// Replaces `${VAR}`, `${VAR:-default}`, `${VAR:?message}`, `${file:/path}` and `$$` in a scalar; any other `$` stands for itself.
struct Interpolation {
    var environment: [String: String]
    /// The content of a file, or why it cannot be read.
    var readFile: @Sendable (String) throws(FileProblem) -> String

    /// A value without substitutions is `nil`: nothing was replaced.
    func expand(_ text: String) throws(InterpolationProblem) -> String? {
        guard text.utf8.contains(UInt8(ascii: "$")) else { return nil }
        var result = ""
        var hasReplaced = false
        var rest = text[...]
        while let dollar = rest.firstIndex(of: "$") {
            result += rest[..<dollar]
            rest = rest[dollar...].dropFirst()
            if rest.first == "$" {
                rest = rest.dropFirst()
                result += "$"
                hasReplaced = true
            } else if rest.first == "{" {
                guard let end = rest.firstIndex(of: "}") else {
                    throw InterpolationProblem("\"${\" without \"}\"", hint: "write $$ for a dollar sign")
                }
                result += try self.value(of: String(rest[rest.index(after: rest.startIndex)..<end]))
                rest = rest[end...].dropFirst()
                hasReplaced = true
            } else {
                result += "$"
            }
        }
        return hasReplaced ? result + rest : nil
    }

    private func value(of expression: String) throws(InterpolationProblem) -> String {
        if expression.hasPrefix("file:") { return try self.content(of: String(expression.dropFirst("file:".count))) }
        let name = String(expression.prefix { $0 == "_" || $0.isASCII && ($0.isLetter || $0.isNumber) })
        let rest = expression.dropFirst(name.count)
        guard !name.isEmpty, rest.isEmpty || rest.hasPrefix(":-") || rest.hasPrefix(":?") else {
            throw InterpolationProblem(
                "\"${\(expression)}\" is not understood",
                hint: "known: ${VAR}, ${VAR:-default}, ${VAR:?message}, ${file:/path}, $$")
        }
        // As in a shell: with ":" an empty variable counts as one that is not set.
        let value = self.environment[name]
        if rest.isEmpty, let value { return value }
        if let value, !value.isEmpty { return value }
        if rest.hasPrefix(":-") { return String(rest.dropFirst(2)) }
        if rest.hasPrefix(":?") { throw InterpolationProblem("\(name) is not set: \(rest.dropFirst(2))") }
        throw InterpolationProblem(
            "the environment variable \(name) is not set", hint: "give a default with ${\(name):-default}")
    }

    private func content(of path: String) throws(InterpolationProblem) -> String {
        do throws(FileProblem) {
            var content = try self.readFile(path)
            // Editors and secret stores end a file with one line break that is no part of the secret.
            if content.hasSuffix("\r\n") || content.hasSuffix("\n") { content.removeLast() }
            return content
        } catch {
            throw InterpolationProblem("cannot read \(path): \(error.reason)")
        }
    }
}

struct InterpolationProblem: Error {
    var message: String
    var hint: String?

    init(_ message: String, hint: String? = nil) {
        self.message = message
        self.hint = hint
    }
}

/// Why a file cannot be read, in the words of the system.
public struct FileProblem: Error, Sendable {
    public var reason: String
    public init(_ reason: String) { self.reason = reason }
}
