/// A place in a text file; lines and columns count from 1, columns in Unicode scalars.
struct Mark: Hashable, Sendable {
    var line: Int
    var column: Int
}

/// One node of a YAML document with the place where it stands.
struct YAMLNode: Sendable {
    enum Content: Sendable {
        /// `isPlain` is false for quoted and block scalars, which are text whatever they look like.
        case scalar(String, isPlain: Bool)
        case sequence([YAMLNode])
        case mapping([Entry])
    }

    struct Entry: Sendable {
        var key: String
        var keyMark: Mark
        var value: YAMLNode
    }

    var mark: Mark
    var content: Content
    /// Nodes in this tree, itself included; what an alias costs when it repeats the tree.
    var weight: Int

    /// Whether nothing was written: `key:` with no value, `~` or `null`.
    var isNull: Bool {
        guard case .scalar(let text, isPlain: true) = self.content else { return false }
        return ["", "~", "null", "Null", "NULL"].contains(text)
    }
}
