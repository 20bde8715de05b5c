/// What an upstream allows in a name, and so how a channel's name is escaped inside one.
///
/// Escapes are `%XX` with upper-case hexadecimal digits of each UTF-8 byte; `%` itself is always escaped, so decoding is unique.
public struct NameRules: Sendable, Hashable {
    /// ASCII characters, beside `%`, that may not appear in the channel's part of a name.
    public var reserved: Set<UInt8>

    /// Whether U+0000-1F, U+007F-9F and non-characters (U+FFFE, U+FFFF, U+FDD0-FDEF and their like) must be escaped.
    public var escapesControls: Bool

    /// Whether a leading `$` must be escaped when the channel's part starts the name.
    public var escapesLeadingDollar: Bool

    /// The upstream's separator that stands for `/` of a channel name, when it is not `/` itself. It is then reserved too.
    public var separator: UInt8

    /// Longest whole name, in bytes. A longer one is refused and counted, never cut.
    public var lengthLimit: Int

    /// Most `separator`s in the channel's part; from there on `/` is escaped like a reserved character.
    public var separatorLimit: Int

    public init(
        reserved: Set<UInt8>, escapesControls: Bool, escapesLeadingDollar: Bool = false,
        separator: UInt8 = UInt8(ascii: "/"), lengthLimit: Int, separatorLimit: Int = .max
    ) {
        self.reserved = reserved
        self.escapesControls = escapesControls
        self.escapesLeadingDollar = escapesLeadingDollar
        self.separator = separator
        self.lengthLimit = lengthLimit
        self.separatorLimit = separatorLimit
    }
}

/// What to subscribe to at the upstream.
///
/// Filters are compared by their UTF-8 bytes, as upstreams do; two canonically equivalent spellings are two filters.
public enum UpstreamFilter: Sendable {
    /// This name and no other.
    case exact(String)

    /// At least every name that starts with this text; more is harmless, the host filters again. The text is literal: a bridge
    /// escapes what its upstream's patterns reserve. Prefixes may overlap; a bridge whose upstream would then deliver twice merges them.
    case prefix(String)
}

extension UpstreamFilter: Hashable {
    public static func == (one: UpstreamFilter, other: UpstreamFilter) -> Bool {
        switch (one, other) {
        case (.exact(let one), .exact(let other)), (.prefix(let one), .prefix(let other)):
            one.utf8.elementsEqual(other.utf8)
        case (.exact, .prefix), (.prefix, .exact):
            false
        }
    }

    public func hash(into hasher: inout Hasher) {
        switch self {
        case .exact(var name):
            hasher.combine(UInt8(0))
            name.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
        case .prefix(var text):
            hasher.combine(UInt8(1))
            text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
        }
    }
}
