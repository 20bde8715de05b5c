public import LinkspanBridgeKit

/// What a client wants to do with a channel.
public enum ChannelAction: String, Sendable, Hashable, CaseIterable {
    case subscribe, publish
}

/// Who may do something.
public enum Grant: Sendable, Hashable {
    case everyone
    /// Whoever showed a valid token.
    case authenticated
    /// Whoever's token has all of these claims; each names the values of which the claim must be, or must contain, one.
    case claims([String: [String]])
    case nobody
}

/// One entry of `permissions` in `bridges.yaml`.
public struct PermissionRule: Sendable, Hashable {
    /// A glob in which `{claim}` stands for the value of a claim of the client's token.
    public var channels: String
    public var subscribe: Grant
    public var publish: Grant

    public init(channels: String, subscribe: Grant = .everyone, publish: Grant = .everyone) {
        self.channels = channels
        self.subscribe = subscribe
        self.publish = publish
    }
}

/// Decides who may subscribe and publish where: the first rule that applies to a channel answers, and without one everyone may.
///
/// A rule with `{claim}` applies to every channel that has anything without `/` in the claim's place, and then grants only to the
/// client whose claim stands there: `user/{sub}/**` closes `user/bob/inbox` to Alice, whatever later rules say.
public struct Permissions: Sendable, Hashable {
    private var rules: [CompiledRule]

    /// - Throws: ``GlobError`` for the first pattern that is none.
    public init(_ rules: [PermissionRule]) throws(GlobError) {
        self.rules = []
        for rule in rules { self.rules.append(try CompiledRule(rule)) }
    }

    /// Everyone may do everything.
    public static let none = Permissions()

    private init() {
        self.rules = []
    }

    /// Whether there is nothing to decide, so that the publish path need not ask.
    public var isEmpty: Bool { self.rules.isEmpty }

    /// - Parameter claims: of a valid token; nil for an anonymous client.
    public func allows(_ action: ChannelAction, _ channel: ChannelName, claims: TokenClaims?) -> Bool {
        for rule in self.rules {
            switch rule.judge(channel.string, claims: claims) {
            case .elsewhere: continue
            case .foreign: return false
            case .applies: return rule.grant(action).includes(claims)
            }
        }
        return true
    }
}

private struct CompiledRule: Sendable, Hashable {
    enum Verdict {
        case elsewhere
        /// The channel is of this rule's kind, but another client's.
        case foreign
        case applies
    }

    private let rule: PermissionRule
    /// Text and claim names in turn, text first.
    private let parts: [String]
    /// The pattern with `*` for each claim.
    private let shape: Glob

    init(_ rule: PermissionRule) throws(GlobError) {
        self.rule = rule
        self.parts = Self.parts(of: rule.channels)
        self.shape = try Glob(Self.join(self.parts) { _ in "*" })
    }

    func grant(_ action: ChannelAction) -> Grant {
        switch action {
        case .subscribe: self.rule.subscribe
        case .publish: self.rule.publish
        }
    }

    func judge(_ channel: String, claims: TokenClaims?) -> Verdict {
        guard self.parts.count > 1 else { return self.shape.matches(channel) ? .applies : .elsewhere }
        if let claims, self.isOwn(channel, claims) { return .applies }
        return self.shape.matches(channel) ? .foreign : .elsewhere
    }

    private func isOwn(_ channel: String, _ claims: TokenClaims) -> Bool {
        var missing = false
        let pattern = Self.join(self.parts) { name in
            guard let value = claims.scalar(name), !value.isEmpty else {
                missing = true
                return ""
            }
            return Self.escaped(value)
        }
        guard !missing, let own = try? Glob(pattern) else { return false }
        return own.matches(channel)
    }

    /// A claim's value is text, whatever wildcards it contains.
    private static func escaped(_ value: String) -> String {
        var text = String.UnicodeScalarView()
        for scalar in value.unicodeScalars {
            if scalar == "*" || scalar == "?" || scalar == "\\" { text.append("\\") }
            text.append(scalar)
        }
        return String(text)
    }

    private static func join(_ parts: [String], _ claim: (String) -> String) -> String {
        var text = ""
        for (index, part) in parts.enumerated() { text += index.isMultiple(of: 2) ? part : claim(part) }
        return text
    }

    /// `a/{sub}/b` is `a/`, `sub`, `/b`. A brace that is escaped, unclosed or around nothing is text.
    private static func parts(of pattern: String) -> [String] {
        var parts = [""]
        var rest = Substring(pattern)
        while let scalar = rest.first {
            if scalar == "\\" {
                parts[parts.count - 1] += rest.prefix(2)
                rest = rest.dropFirst(2)
            } else if scalar == "{", let close = rest.firstIndex(of: "}"), close > rest.index(after: rest.startIndex) {
                parts.append(String(rest[rest.index(after: rest.startIndex)..<close]))
                parts.append("")
                rest = rest[rest.index(after: close)...]
            } else {
                parts[parts.count - 1].append(scalar)
                rest = rest.dropFirst()
            }
        }
        return parts
    }
}

extension Grant {
    fileprivate func includes(_ claims: TokenClaims?) -> Bool {
        switch self {
        case .everyone: true
        case .nobody: false
        case .authenticated: claims != nil
        case .claims(let wanted):
            claims.map { claims in
                wanted.allSatisfy { name, values in claims.scalars(name).contains { values.contains($0) } }
            } ?? false
        }
    }
}
