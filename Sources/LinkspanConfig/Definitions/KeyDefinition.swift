internal import LinkspanBridgeKit
internal import LinkspanCore

/// One key of the configuration. Checks, suggestions, environment names and the reference all follow from these.
public struct KeyDefinition: Sendable {
    public var key: String
    public var kind: ValueKind
    /// As it would be written in the file; nil when the key has no default.
    public var defaultText: String?
    public var summary: String
    public var isRequired: Bool

    init(
        _ key: String, _ kind: ValueKind, default defaultText: String? = nil, required isRequired: Bool = false,
        _ summary: String
    ) {
        self.key = key
        self.kind = kind
        self.defaultText = defaultText
        self.summary = summary
        self.isRequired = isRequired
    }

    init(_ option: OptionDeclaration) {
        let kind: ValueKind =
            switch option.kind {
            case .text: .text(.free)
            case .boolean: .boolean
            case .integer(let range): .integer(range)
            case .duration(let range): .duration(range)
            case .size(let range): .size(range)
            case .choice(let words): .choice(words)
            }
        self.init(option.key, kind, default: option.defaultText, option.summary)
    }
}

/// What a value may be.
public indirect enum ValueKind: Sendable {
    case text(TextShape)
    /// Text that no message ever shows.
    case secret
    case boolean
    case integer(ClosedRange<Int>)
    case duration(ClosedRange<Duration>)
    /// Bytes.
    case size(ClosedRange<Int>)
    case choice([String])
    /// Texts of one shape.
    case list(TextShape)
    /// Words out of a set.
    case choices([String])
    case block(BlockDefinition)
    /// A block, or only the list that stands for one of its keys.
    case blockOrList(BlockDefinition, listKey: String)
    /// Blocks of one kind by name, such as `bridges`.
    case map(BlockDefinition)
    /// Blocks of one kind in an order that matters, such as `permissions`.
    case blocks(BlockDefinition)
    /// One of these words, or the values that each of some claims must have.
    case grant([String])
}

extension ValueKind {
    var isList: Bool {
        switch self {
        case .list, .choices, .blocks: true
        case .text, .secret, .boolean, .integer, .duration, .size, .choice, .block, .blockOrList, .map, .grant: false
        }
    }
}

/// The keys that a block may have.
public struct BlockDefinition: Sendable {
    /// What an entry of a map is called in messages: `bridge`, `broker`.
    public var noun: String?
    public var keys: [KeyDefinition]
    /// Further keys, by the text of another key of the same block: the options of a broker by its `type`.
    public var variants: Variants?

    public struct Variants: Sendable {
        public var selector: String
        public var keys: [String: [KeyDefinition]]
    }

    init(noun: String? = nil, variants: Variants? = nil, _ keys: [KeyDefinition]) {
        self.noun = noun
        self.keys = keys
        self.variants = variants
    }
}

/// What a text stands for, as far as one value alone can be checked.
public enum TextShape: Sendable, Hashable {
    case free
    case hostName
    case urlPath
    case instanceID
    case origin
    case glob
    /// A glob with `{claim}` in it.
    case claimGlob
    case filePath
    /// The name of a broker or bridge.
    case name
    case groupName

    /// Completes "expected ...".
    var expectation: String {
        switch self {
        case .free: "text"
        case .hostName: "a host name"
        case .urlPath: "a path that begins with /"
        case .instanceID, .groupName: "1 to 64 characters of A-Z a-z 0-9 . _ -"
        case .origin: "an origin such as https://app.example.com"
        case .glob: "a glob such as chat/**"
        case .claimGlob: "a glob such as user/{sub}/**"
        case .filePath: "the path of a file"
        case .name: "a name"
        }
    }

    func admits(_ text: String) -> Bool {
        switch self {
        case .free, .glob, .claimGlob: true
        case .hostName: Self.isHostName(text)
        case .urlPath:
            text.hasPrefix("/")
                && text.utf8.allSatisfy { $0 > 0x20 && $0 != UInt8(ascii: "?") && $0 != UInt8(ascii: "#") }
        case .instanceID: InstanceID(text) != nil
        case .groupName: Consumption.isGroupName(text)
        case .origin: Self.isOrigin(text)
        case .filePath, .name: !text.isEmpty
        }
    }

    private static func isHostName(_ text: String) -> Bool {
        guard (1...253).contains(text.utf8.count) else { return false }
        let isNameByte = { (byte: UInt8) in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"):
                true
            default: false
            }
        }
        // Two colons or more make an IPv6 address; a single one is a port that belongs elsewhere.
        let colons = text.utf8.count { $0 == UInt8(ascii: ":") }
        if colons >= 2 {
            return text.utf8.allSatisfy { $0 == UInt8(ascii: ":") || $0 == UInt8(ascii: "%") || isNameByte($0) }
        }
        return text.utf8.allSatisfy(isNameByte)
    }

    private static func isOrigin(_ text: String) -> Bool {
        guard let scheme = ["https://", "http://"].first(where: text.hasPrefix) else { return false }
        let rest = text.dropFirst(scheme.count)
        return !rest.isEmpty && rest.utf8.allSatisfy { $0 > 0x20 && !"/?#@*,".utf8.contains($0) }
    }
}
