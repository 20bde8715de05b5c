/// A scalar on its way to a typed value, with what a message may say about it.
struct ScalarText {
    var text: String
    /// Whether quotes were around it, so that it is text whatever it looks like. False where a substitution took place.
    var isQuoted: Bool
    var provenance: Provenance
    /// As it stands in the file.
    var written: String
    var location: SourceLocation

    enum Provenance {
        /// Written in the file as it is, where quotes tell text from numbers.
        case literal
        /// A flag, or the variable of this very key.
        case override
        /// The environment or another file had a part in it; no message shows what.
        case substituted
    }

    /// What YAML, or a person, would take a plain scalar for.
    enum Look {
        case nothing, boolean, number, text
    }

    var look: Look {
        if self.isQuoted { return .text }
        if ["", "~", "null", "Null", "NULL"].contains(self.text) { return .nothing }
        if ["true", "false", "yes", "no", "on", "off", "y", "n"].contains(self.text.lowercased()) { return .boolean }
        return self.isNumber ? .number : .text
    }

    /// After "found": `the number 1883`, `yes`, `the text "abc"`, `nothing`.
    var found: String {
        if self.provenance == .substituted { return "the value of \(Self.shown(self.written)), which is not shown" }
        return switch self.look {
        case .nothing: "nothing"
        case .boolean: self.text
        case .number: "the number \(Self.shorten(self.text))"
        case .text: Self.shown(self.text)
        }
    }

    /// In quotes, with control characters escaped and the middle of a long text left out.
    static func shown(_ text: String) -> String {
        "\""
            + Self.shorten(
                text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? $0.escaped(asASCII: true) : String($0) }
                    .joined())
            + "\""
    }

    private static func shorten(_ text: String) -> String {
        text.count <= 80 ? text : "\(text.prefix(60))...\(text.suffix(12))"
    }

    /// Decimal numbers with sign, fraction or exponent; addresses such as `10.0.0.7` are none.
    private var isNumber: Bool {
        var rest = Substring(self.text)
        if rest.first == "-" || rest.first == "+" { rest = rest.dropFirst() }
        let digits = rest.prefix { $0.isASCII && $0.isNumber }
        rest = rest.dropFirst(digits.count)
        if rest.first == "." { rest = rest.dropFirst().drop { $0.isASCII && $0.isNumber } }
        if rest.first == "e" || rest.first == "E", rest.dropFirst().first?.isNumber ?? false {
            rest = rest.dropFirst().drop { $0.isASCII && $0.isNumber }
        }
        return !digits.isEmpty && rest.isEmpty
    }
}
