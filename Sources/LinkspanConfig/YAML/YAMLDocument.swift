/// A parsed YAML file: one tree, and what was wrong in it short of its syntax.
struct YAMLDocument: Sendable {
    /// Nil for an empty file, one with only comments included.
    var root: YAMLNode?
    /// Keys that stand twice in one mapping; the first one is in the tree.
    var duplicateKeys: [DuplicateKey]

    struct DuplicateKey: Sendable {
        var key: String
        var mark: Mark
        var firstMark: Mark
    }

    /// Bounds on what a file may contain, far above any real configuration.
    enum Limit {
        static let textBytes = 1 << 20
        static let depth = 32
        static let nodes = 50_000
    }
}

/// Why a text is no YAML document, or not one that we take.
struct YAMLSyntaxError: Error, Sendable {
    var mark: Mark?
    var message: String
    var hint: String?
}
