internal import LinkspanCore

/// Walks a document along the definitions and collects every problem on the way.
///
/// For each value the first of these counts: flag, environment, file. Defaults are the reader's of the result.
struct DocumentReader {
    var interpolation: Interpolation
    /// `LINKSPAN_*` variables that are not empty.
    var environment: [String: String]
    /// Values of flags by dotted key path.
    var flags: [String: FlagOverride]

    private(set) var diagnostics: [Diagnostic] = []
    /// Where each key of the file stands, by dotted path, for problems that are found later.
    private(set) var locations: [String: SourceLocation] = [:]
    /// The path of each value that may be set, by the name of its variable.
    private var environmentNames: [String: KeyPathText] = [:]

    init(interpolation: Interpolation, environment: [String: String], flags: [String: FlagOverride]) {
        self.interpolation = interpolation
        self.environment = environment.filter { $0.key.hasPrefix("LINKSPAN_") && !$0.value.isEmpty }
        self.flags = flags
    }

    mutating func read(_ document: YAMLDocument, as definition: BlockDefinition) -> ConfigBlock {
        for duplicate in document.duplicateKeys {
            self.report(
                SourceLocation(duplicate.mark), "duplicate key \(ScalarText.shown(duplicate.key))",
                hint: "it stands first in line \(duplicate.firstMark.line)")
        }
        let path = KeyPathText(keys: [])
        let root = self.block(document.root, at: path, location: .document, as: definition)
        self.reportUnknownVariables()
        return root
    }

    mutating func report(
        _ location: SourceLocation, _ message: String, hint: String? = nil, severity: Diagnostic.Severity = .error
    ) {
        self.diagnostics.append(Diagnostic(severity, at: location, message, hint: hint))
    }

    // MARK: Blocks

    private mutating func block(
        _ node: YAMLNode?, at path: KeyPathText, location: SourceLocation, as definition: BlockDefinition
    ) -> ConfigBlock {
        var block = ConfigBlock(path: path, location: location)
        guard let entries = self.entries(of: node, at: path, expected: "a block of keys") else { return block }
        for entry in entries {
            self.locations[path.appending(entry.key).dotted] = SourceLocation(entry.keyMark)
        }
        block.written = Set(entries.map(\.key))
        let keys = self.keys(of: definition, selectedBy: entries, at: path)
        for entry in entries where !keys.contains(where: { $0.key == entry.key }) {
            self.reportUnknown(entry, in: path, allowed: keys.map(\.key))
        }
        for key in keys {
            let entry = entries.first { $0.key == key.key }
            let keyPath = path.appending(key.key)
            if let value = self.value(entry?.value, at: keyPath, in: block.location, as: key.kind, siblings: keys) {
                block.values[key.key] = Located(
                    value: value,
                    location: self.overrideLocation(of: keyPath) ?? entry.map { SourceLocation($0.keyMark) } ?? location
                )
            } else if key.isRequired, entry.map({ $0.value.isNull && key.kind.isList }) ?? true {
                self.report(
                    location, path.keys.isEmpty ? "\(key.key) is missing" : "\(path.label): \(key.key) is missing",
                    hint: self.example(of: key))
            }
        }
        return block
    }

    private func example(of key: KeyDefinition) -> String? {
        guard case .choice(let words) = key.kind else { return nil }
        return words.count == 1 ? "write \(key.key): \(words[0])" : "one of \(words.joined(separator: ", "))"
    }

    /// Nil when there is something else than a block; nothing at all is an empty one.
    private mutating func entries(of node: YAMLNode?, at path: KeyPathText, expected: String) -> [YAMLNode.Entry]? {
        guard let node, !node.isNull else { return [] }
        if case .mapping(let entries) = node.content { return entries }
        let label = path.keys.isEmpty ? "" : "\(path.label): "
        self.report(SourceLocation(node.mark), "\(label)expected \(expected), found \(self.found(node))")
        return nil
    }

    private func found(_ node: YAMLNode) -> String {
        switch node.content {
        case .mapping: "a block of keys"
        case .sequence: "a list"
        case .scalar(let text, let isPlain):
            ScalarText(text: text, isQuoted: !isPlain, provenance: .literal, written: text, location: .document).found
        }
    }

    private func keys(
        of definition: BlockDefinition, selectedBy entries: [YAMLNode.Entry], at path: KeyPathText
    ) -> [KeyDefinition] {
        guard let variants = definition.variants else { return definition.keys }
        let selector = path.appending(variants.selector)
        var selected = self.flags[selector.dotted]?.text ?? self.environment[selector.environmentName]
        if selected == nil,
            case .scalar(let text, _)? = entries.first(where: { $0.key == variants.selector })?.value.content
        {
            selected = (try? self.interpolation.expand(text)) ?? text
        }
        // An unknown or missing selection has a problem of its own; then the options of every variant are taken as they are.
        return definition.keys + (selected.flatMap { variants.keys[$0] } ?? variants.keys.values.flatMap(\.self))
    }

    private mutating func reportUnknown(_ entry: YAMLNode.Entry, in path: KeyPathText, allowed: [String]) {
        let nearest = Suggestion.nearest(to: entry.key, in: allowed).map { "did you mean \"\($0)\"?  " } ?? ""
        self.report(
            SourceLocation(entry.keyMark), "unknown key \(ScalarText.shown(entry.key)) in \(path.place)",
            hint: "\(nearest)allowed: \(allowed.sorted().joined(separator: ", "))")
    }

    private mutating func map(_ node: YAMLNode?, at path: KeyPathText, as definition: BlockDefinition) -> ConfigValue? {
        guard
            let entries = self.entries(
                of: node, at: path, expected: "\(definition.noun ?? "entry") names with a block of keys each")
        else { return nil }
        return .map(
            entries.map { entry in
                let entryPath = path.appending(entry.key)
                self.locations[entryPath.dotted] = SourceLocation(entry.keyMark)
                if !Self.isEntryName(entry.key) {
                    self.report(
                        SourceLocation(entry.keyMark),
                        "bad name \(ScalarText.shown(entry.key)) for a \(definition.noun ?? "entry")",
                        hint: "1 to 64 characters of A-Z a-z 0-9 _ -")
                }
                return self.block(entry.value, at: entryPath, location: SourceLocation(entry.keyMark), as: definition)
            })
    }

    private mutating func blocks(_ node: YAMLNode?, at path: KeyPathText, as definition: BlockDefinition)
        -> ConfigValue?
    {
        guard let node, !node.isNull else { return nil }
        guard case .sequence(let elements) = node.content else {
            self.report(
                SourceLocation(node.mark), "\(path.label): expected a list of blocks, found \(self.found(node))")
            return nil
        }
        return .map(
            elements.enumerated().map { index, element in
                let elementPath = path.appending("\(index)")
                self.locations[elementPath.dotted] = SourceLocation(element.mark)
                return self.block(element, at: elementPath, location: SourceLocation(element.mark), as: definition)
            })
    }

    private static func isEntryName(_ name: String) -> Bool {
        (1...64).contains(name.utf8.count)
            && name.unicodeScalars.allSatisfy {
                $0.isASCII && ($0.properties.isAlphabetic || ("0"..."9").contains($0)) || $0 == "_" || $0 == "-"
            }
    }

    // MARK: Values

    private mutating func value(
        _ node: YAMLNode?, at path: KeyPathText, in location: SourceLocation, as kind: ValueKind,
        siblings: [KeyDefinition]
    ) -> ConfigValue? {
        switch kind {
        case .block(let definition):
            let own = node.map { SourceLocation($0.mark) }
            return .block(self.block(node, at: path, location: own ?? location, as: definition))
        case .blockOrList(let definition, let listKey):
            return .block(self.block(Self.wrapped(node, as: listKey), at: path, location: location, as: definition))
        case .map(let definition):
            return self.map(node, at: path, as: definition)
        case .blocks(let definition):
            return self.blocks(node, at: path, as: definition)
        case .grant(let words):
            return self.grant(node, at: path, words: words, siblings: siblings)
        case .list(let shape):
            return self.list(node, at: path) { scalar throws(ScalarProblem) in try ScalarReading.text(scalar, shape) }
        case .choices(let words):
            return self.list(node, at: path) { scalar throws(ScalarProblem) in try ScalarReading.choice(scalar, words) }
        case .text, .secret, .boolean, .integer, .duration, .size, .choice:
            return self.scalar(node, at: path, as: kind, siblings: siblings)
        }
    }

    /// A list, or a single value, stands for a block with only `listKey`.
    private static func wrapped(_ node: YAMLNode?, as listKey: String) -> YAMLNode? {
        guard let node, !node.isNull else { return nil }
        if case .mapping = node.content { return node }
        let entry = YAMLNode.Entry(key: listKey, keyMark: node.mark, value: node)
        return YAMLNode(mark: node.mark, content: .mapping([entry]), weight: node.weight)
    }

    private mutating func scalar(
        _ node: YAMLNode?, at path: KeyPathText, as kind: ValueKind, siblings: [KeyDefinition]
    ) -> ConfigValue? {
        guard let scalar = self.override(at: path) ?? self.scalarText(node, at: path, as: kind) else { return nil }
        do throws(ScalarProblem) {
            let value = try ScalarReading.value(of: scalar, as: kind)
            if case .secret = kind, scalar.provenance == .literal {
                self.report(
                    scalar.location, "\(path.label) is written in the file",
                    hint: "keep it elsewhere: \"${file:/run/secrets/\(path.last)}\" or \"${VARIABLE}\"",
                    severity: .warning)
            }
            return value
        } catch {
            self.report(
                scalar.location, "\(path.label): \(error.message)\(Self.portInstead(of: scalar, kind, siblings))",
                hint: error.hint)
            return nil
        }
    }

    private static func portInstead(of scalar: ScalarText, _ kind: ValueKind, _ siblings: [KeyDefinition]) -> String {
        guard case .text(.hostName) = kind, siblings.contains(where: { $0.key == "port" }),
            scalar.provenance != .substituted,
            let port = UInt16(scalar.text)
        else { return "" }
        return "; did you mean `port: \(port)`?"
    }

    private mutating func grant(
        _ node: YAMLNode?, at path: KeyPathText, words: [String], siblings: [KeyDefinition]
    ) -> ConfigValue? {
        if let node, case .mapping(let entries) = node.content, self.override(at: path) == nil {
            return self.claims(of: node, entries, at: path)
        }
        guard case .text(let word)? = self.scalar(node, at: path, as: .choice(words), siblings: siblings) else {
            return nil
        }
        return Grant(word: word).map(ConfigValue.grant)
    }

    /// Nil when one is wrong: without it the grant would go to more clients.
    private mutating func claims(of node: YAMLNode, _ entries: [YAMLNode.Entry], at path: KeyPathText) -> ConfigValue? {
        guard !entries.isEmpty else {
            self.report(
                SourceLocation(node.mark), "\(path.label): names no claim", hint: "write authenticated for any token")
            return nil
        }
        var claims: [String: [String]] = [:]
        for entry in entries {
            let claimPath = path.appending(entry.key)
            // Nothing at all is no list either.
            let values =
                entry.value.isNull
                ? .list([])
                : self.list(entry.value, at: claimPath) { scalar throws(ScalarProblem) in
                    try ScalarReading.claim(scalar)
                }
            switch values {
            case .list(let texts) where !texts.isEmpty:
                claims[entry.key] = texts.map(\.value)
            case .list:
                self.report(SourceLocation(entry.keyMark), "\(claimPath.label): names no value")
                return nil
            default:
                return nil
            }
        }
        return .grant(.claims(claims))
    }

    private mutating func list(
        _ node: YAMLNode?, at path: KeyPathText, _ read: (ScalarText) throws(ScalarProblem) -> String
    ) -> ConfigValue? {
        if let override = self.override(at: path) {
            let texts = override.text.split(separator: ",").map { $0.drop { $0 == " " } }
            return self.elements(
                texts.map { text in
                    var scalar = override
                    scalar.text = String(text)
                    return scalar
                }, at: path, read)
        }
        guard let node, !node.isNull else { return nil }
        var nodes = [node]
        if case .sequence(let elements) = node.content { nodes = elements }
        return self.elements(nodes.map { self.scalarText($0, at: path, as: .text(.free)) }, at: path, read)
    }

    /// Nil when one is wrong: a list without it would be another list.
    private mutating func elements(
        _ scalars: [ScalarText?], at path: KeyPathText, _ read: (ScalarText) throws(ScalarProblem) -> String
    ) -> ConfigValue? {
        let elements = scalars.map { scalar in scalar.flatMap { self.element($0, at: path, read) } }
        return elements.contains { $0 == nil } ? nil : .list(elements.compactMap(\.self))
    }

    private mutating func element(
        _ scalar: ScalarText, at path: KeyPathText, _ read: (ScalarText) throws(ScalarProblem) -> String
    ) -> Located<String>? {
        do throws(ScalarProblem) {
            return Located(value: try read(scalar), location: scalar.location)
        } catch {
            self.report(scalar.location, "\(path.label): \(error.message)", hint: error.hint)
            return nil
        }
    }

    private mutating func scalarText(_ node: YAMLNode?, at path: KeyPathText, as kind: ValueKind) -> ScalarText? {
        guard let node else { return nil }
        let location = SourceLocation(node.mark)
        guard case .scalar(let written, let isPlain) = node.content else {
            self.report(
                location, "\(path.label): expected \(ScalarReading.expectation(of: kind)), found \(self.found(node))")
            return nil
        }
        do throws(InterpolationProblem) {
            let expanded = try self.interpolation.expand(written)
            return ScalarText(
                text: expanded ?? written, isQuoted: !isPlain && expanded == nil,
                provenance: expanded == nil ? .literal : .substituted, written: written,
                location: location)
        } catch {
            self.report(location, "\(path.label): \(error.message)", hint: error.hint)
            return nil
        }
    }

    // MARK: Overrides

    private mutating func override(at path: KeyPathText) -> ScalarText? {
        let name = path.environmentName
        if let other = self.environmentNames.updateValue(path, forKey: name), other != path,
            self.environment[name] != nil
        {
            self.report(
                .environment(name), "it may mean \(other.dotted) or \(path.dotted)", hint: "set them in the file")
        }
        if let flag = self.flags[path.dotted] {
            return ScalarText(
                text: flag.text, isQuoted: false, provenance: .override, written: flag.text, location: .flag(flag.name))
        }
        guard let text = self.environment[name] else { return nil }
        return ScalarText(
            text: text, isQuoted: false, provenance: .override, written: text, location: .environment(name))
    }

    private func overrideLocation(of path: KeyPathText) -> SourceLocation? {
        if let flag = self.flags[path.dotted] { return .flag(flag.name) }
        let name = path.environmentName
        return self.environment[name] == nil ? nil : .environment(name)
    }

    private mutating func reportUnknownVariables() {
        for name in self.environment.keys.sorted() where self.environmentNames[name] == nil && !Self.isForeign(name) {
            let nearest = Suggestion.nearest(to: name, in: self.environmentNames.keys)
            self.report(
                .environment(name), "unknown environment variable",
                hint: nearest.map { "did you mean \($0)?" }
                    ?? "LINKSPAN_ and the keys of the file, such as LINKSPAN_SERVER_CLIENTS_PORT")
        }
    }

    /// Variables of that prefix with another meaning: the file's own path, and what the tests of this project use.
    private static func isForeign(_ name: String) -> Bool {
        name == "LINKSPAN_CONFIG" || name.hasPrefix("LINKSPAN_TEST_")
    }
}

/// A value that a flag of the command line gives.
public struct FlagOverride: Sendable {
    /// Such as `--port`.
    public var name: String
    public var text: String

    public init(name: String, text: String) {
        self.name = name
        self.text = text
    }
}
