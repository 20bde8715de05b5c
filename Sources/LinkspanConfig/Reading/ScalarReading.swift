internal import LinkspanCore

/// Why a scalar is not what its key wants.
struct ScalarProblem: Error {
    var message: String
    var hint: String?

    init(_ message: String, hint: String? = nil) {
        self.message = message
        self.hint = hint
    }
}

/// Scalars to typed values. The messages begin with "expected", and a caller puts the key before them.
enum ScalarReading {
    static func value(of scalar: ScalarText, as kind: ValueKind) throws(ScalarProblem) -> ConfigValue {
        switch kind {
        case .text(let shape): .text(try Self.text(scalar, shape))
        case .secret: .text(try Self.secret(scalar))
        case .boolean: .boolean(try Self.boolean(scalar))
        case .integer(let range): .integer(try Self.integer(scalar, range))
        case .duration(let range): .duration(try Self.duration(scalar, range))
        case .size(let range): .size(try Self.size(scalar, range))
        case .choice(let words): .text(try Self.choice(scalar, words))
        case .list, .choices, .block, .blockOrList, .map, .blocks, .grant:
            throw ScalarProblem("expected \(Self.expectation(of: kind)), found \(scalar.found)")
        }
    }

    /// What a value of `kind` is called in messages.
    static func expectation(of kind: ValueKind) -> String {
        switch kind {
        case .text(let shape): shape.expectation
        case .secret: "text"
        case .boolean: "true or false"
        case .integer(let range): "a whole number from \(range.lowerBound) to \(range.upperBound)"
        case .duration: "a duration such as 30s"
        case .size: "a size such as 64KiB"
        case .choice(let words): words.count == 1 ? words[0] : "one of \(words.joined(separator: ", "))"
        case .list, .choices: "a list"
        case .block, .map: "a block of keys"
        case .blockOrList: "a list or a block of keys"
        case .blocks: "a list of blocks"
        case .grant(let words): "\(words.joined(separator: ", ")), or claims such as { role: admin }"
        }
    }

    static func text(_ scalar: ScalarText, _ shape: TextShape) throws(ScalarProblem) -> String {
        let expected = "expected \(shape.expectation), found \(scalar.found)"
        switch scalar.look {
        case .nothing:
            throw ScalarProblem(expected)
        case .boolean where scalar.provenance == .literal:
            throw ScalarProblem(
                "\(expected), which YAML may read as true or false", hint: "write \"\(scalar.text)\" in quotes")
        case .number where scalar.provenance == .literal && shape == .instanceID:
            break
        case .number where scalar.provenance == .literal:
            throw ScalarProblem(expected, hint: shape == .hostName ? nil : "write \"\(scalar.text)\" in quotes")
        case .boolean, .number, .text:
            break
        }
        guard shape.admits(scalar.text) else { throw ScalarProblem(expected) }
        if shape == .glob || shape == .claimGlob { try Self.checkGlob(scalar) }
        if shape == .claimGlob { try Self.checkBraces(scalar) }
        return scalar.text
    }

    private static func checkGlob(_ scalar: ScalarText) throws(ScalarProblem) {
        do {
            _ = try Glob(scalar.text)
        } catch {
            throw ScalarProblem("bad glob \(ScalarText.shown(scalar.written)): \(error)")
        }
    }

    /// A value that a claim may have; numbers and booleans as JSON writes them.
    static func claim(_ scalar: ScalarText) throws(ScalarProblem) -> String {
        guard scalar.look != .nothing else { throw ScalarProblem("expected the value of a claim, found nothing") }
        return scalar.text
    }

    /// A claim that is not closed would be text, and the rule would never apply.
    private static func checkBraces(_ scalar: ScalarText) throws(ScalarProblem) {
        var rest = scalar.text[...]
        while let character = rest.popFirst() {
            if character == "\\" { rest = rest.dropFirst() }
            guard character == "{" else { continue }
            guard let close = rest.firstIndex(of: "}"), close > rest.startIndex else {
                throw ScalarProblem(
                    "bad glob \(ScalarText.shown(scalar.written)): \"{\" begins a claim such as {sub}",
                    hint: "write \\{ for a brace")
            }
            rest = rest[close...].dropFirst()
        }
    }

    private static func secret(_ scalar: ScalarText) throws(ScalarProblem) -> String {
        switch scalar.look {
        case .nothing: throw ScalarProblem("expected text, found nothing")
        case .boolean where scalar.provenance == .literal, .number where scalar.provenance == .literal:
            throw ScalarProblem(
                "expected text, found a value without quotes that is not text", hint: "write it in quotes")
        case .boolean, .number, .text: return scalar.text
        }
    }

    private static func boolean(_ scalar: ScalarText) throws(ScalarProblem) -> Bool {
        switch (scalar.isQuoted, scalar.text) {
        case (false, "true"): return true
        case (false, "false"): return false
        default:
            let meant = ["yes", "on", "y", "true"].contains(scalar.text.lowercased()) ? "true" : "false"
            let isGuessable = scalar.look == .boolean || ["true", "false"].contains(scalar.text)
            throw ScalarProblem(
                "expected true or false, found \(scalar.found)", hint: isGuessable ? "write \(meant)" : nil)
        }
    }

    private static func integer(_ scalar: ScalarText, _ range: ClosedRange<Int>) throws(ScalarProblem) -> Int {
        let expected = "expected \(Self.expectation(of: .integer(range))), found \(scalar.found)"
        guard let value = Int(scalar.text), range.contains(value) else { throw ScalarProblem(expected) }
        if scalar.isQuoted { throw ScalarProblem(expected, hint: "write \(value) without quotes") }
        return value
    }

    private static func duration(_ scalar: ScalarText, _ range: ClosedRange<Duration>) throws(ScalarProblem) -> Duration
    {
        guard let value = Quantity.duration(scalar.text) else {
            let hint = scalar.look == .number && scalar.provenance == .literal ? "did you mean \(scalar.text)s?" : nil
            throw ScalarProblem(
                "expected a duration such as 30s, found \(scalar.found)", hint: hint ?? "units: ms, s, m, h, d")
        }
        guard range.contains(value) else {
            throw ScalarProblem(
                "expected a duration from \(Quantity.text(range.lowerBound)) to \(Quantity.text(range.upperBound)), found \(scalar.found)"
            )
        }
        return value
    }

    private static func size(_ scalar: ScalarText, _ range: ClosedRange<Int>) throws(ScalarProblem) -> Int {
        guard let value = Quantity.size(scalar.text) else {
            let hint = scalar.look == .number && scalar.provenance == .literal ? "did you mean \(scalar.text)B?" : nil
            throw ScalarProblem(
                "expected a size such as 64KiB, found \(scalar.found)",
                hint: hint ?? "units: B, KB, MB, GB, KiB, MiB, GiB")
        }
        guard range.contains(value) else {
            throw ScalarProblem(
                "expected a size from \(Quantity.text(bytes: range.lowerBound)) to \(Quantity.text(bytes: range.upperBound)), "
                    + "found \(scalar.found)")
        }
        return value
    }

    static func choice(_ scalar: ScalarText, _ words: [String]) throws(ScalarProblem) -> String {
        guard words.contains(scalar.text) else {
            let nearest = scalar.provenance == .substituted ? nil : Suggestion.nearest(to: scalar.text, in: words)
            throw ScalarProblem(
                "expected \(Self.expectation(of: .choice(words))), found \(scalar.found)",
                hint: nearest.map { "did you mean \($0)?" })
        }
        return scalar.text
    }
}
