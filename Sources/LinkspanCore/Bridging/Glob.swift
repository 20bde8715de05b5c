public import LinkspanBridgeKit

/// A pattern over channel names: `*` is any run of characters except `/`, `**` any run, `?` one character except `/`, `\` takes the next
/// character literally. Characters are Unicode scalars.
///
/// - Complexity: matching is O(name x pattern) at worst, whatever the pattern; nothing backtracks.
public struct Glob: Sendable, Hashable, CustomStringConvertible {
    public let pattern: String

    /// The text that every matching name starts with: what stands before the first wildcard, unescaped.
    public let literalPrefix: String

    /// Whether only ``literalPrefix`` itself matches.
    public let isLiteral: Bool

    /// What follows ``literalPrefix``.
    let wild: [Token]

    public init(_ pattern: String) throws(GlobError) {
        let tokens = try Self.tokens(of: pattern)
        let literalCount = tokens.firstIndex { $0.isWildcard } ?? tokens.count
        var prefix = String.UnicodeScalarView()
        for case .literal(let scalar) in tokens.prefix(literalCount) {
            prefix.append(scalar)
        }
        self.pattern = pattern
        self.literalPrefix = String(prefix)
        self.isLiteral = literalCount == tokens.count
        self.wild = Array(tokens.dropFirst(literalCount))
    }

    public var description: String { self.pattern }

    public func matches(_ name: String) -> Bool {
        let bytes = name.utf8
        guard bytes.starts(with: self.literalPrefix.utf8) else { return false }
        let rest = bytes.dropFirst(self.literalPrefix.utf8.count)
        if self.wild.isEmpty { return rest.isEmpty }
        if self.wild == [.anyRun] { return true }
        return self.matchesWild(Substring(rest).unicodeScalars)
    }

    /// Follows every reading of the pattern at once: `reached[i]` says that the first `i` tokens can stand for the text so far.
    private func matchesWild(_ text: Substring.UnicodeScalarView) -> Bool {
        var reached = [Bool](repeating: false, count: self.wild.count + 1)
        reached[0] = true
        self.skipEmptyRuns(&reached)
        for scalar in text {
            var next = [Bool](repeating: false, count: reached.count)
            for index in self.wild.indices where reached[index] {
                guard self.wild[index].accepts(scalar) else { continue }
                next[self.wild[index].isRun ? index : index + 1] = true
            }
            self.skipEmptyRuns(&next)
            reached = next
        }
        return reached[self.wild.count]
    }

    private func skipEmptyRuns(_ reached: inout [Bool]) {
        for index in self.wild.indices where reached[index] && self.wild[index].isRun {
            reached[index + 1] = true
        }
    }

    private static func tokens(of pattern: String) throws(GlobError) -> [Token] {
        guard !pattern.isEmpty else { throw GlobError("a pattern may not be empty") }
        guard pattern.utf8.count <= Self.byteLimit else {
            throw GlobError("the pattern is longer than \(Self.byteLimit) bytes")
        }
        var tokens: [Token] = []
        var scalars = pattern.unicodeScalars.makeIterator()
        while let scalar = scalars.next() {
            switch scalar {
            case "\\":
                guard let escaped = scalars.next() else { throw GlobError("the pattern ends with a lone `\\`") }
                tokens.append(.literal(escaped))
            case "?":
                tokens.append(.one)
            case "*" where tokens.last == .run || tokens.last == .anyRun:
                tokens[tokens.count - 1] = .anyRun
            case "*":
                tokens.append(.run)
            default:
                tokens.append(.literal(scalar))
            }
        }
        return tokens
    }

    /// Longest pattern, in bytes.
    public static let byteLimit = 4096

    enum Token: Hashable, Sendable {
        case literal(Unicode.Scalar)
        case one
        case run
        case anyRun

        var isWildcard: Bool {
            if case .literal = self { false } else { true }
        }

        var isRun: Bool { self == .run || self == .anyRun }

        func accepts(_ scalar: Unicode.Scalar) -> Bool {
            switch self {
            case .literal(let literal): scalar == literal
            case .one, .run: scalar != "/"
            case .anyRun: true
            }
        }
    }
}

public struct GlobError: Error, Hashable, Sendable, CustomStringConvertible {
    public let description: String
    init(_ description: String) { self.description = description }
}

/// The channels of one rule: those that match one of `include` and none of `exclude`.
public struct ChannelSelector: Sendable, Hashable {
    public var include: [Glob]
    public var exclude: [Glob]

    public init(include: [Glob], exclude: [Glob] = []) {
        self.include = include
        self.exclude = exclude
    }

    public func contains(_ channel: ChannelName) -> Bool {
        self.include.contains { $0.matches(channel.string) } && !self.exclude.contains { $0.matches(channel.string) }
    }
}
