internal import LinkspanCore

/// A block whose keys and values were checked against its definition.
struct ConfigBlock {
    var path: KeyPathText
    var location: SourceLocation
    var values: [String: Located<ConfigValue>] = [:]
    /// Keys that the file has here, those whose values were not taken included.
    var written: Set<String> = []

    func text(_ key: String) -> String? {
        guard case .text(let text)? = self.values[key]?.value else { return nil }
        return text
    }

    func boolean(_ key: String) -> Bool? {
        guard case .boolean(let value)? = self.values[key]?.value else { return nil }
        return value
    }

    func integer(_ key: String) -> Int? {
        guard case .integer(let value)? = self.values[key]?.value else { return nil }
        return value
    }

    func duration(_ key: String) -> Duration? {
        guard case .duration(let value)? = self.values[key]?.value else { return nil }
        return value
    }

    func size(_ key: String) -> Int? {
        guard case .size(let value)? = self.values[key]?.value else { return nil }
        return value
    }

    func list(_ key: String) -> [Located<String>]? {
        guard case .list(let list)? = self.values[key]?.value else { return nil }
        return list
    }

    func choice<Choice: RawRepresentable<String>>(_ key: String, as type: Choice.Type = Choice.self) -> Choice? {
        self.text(key).flatMap(Choice.init)
    }

    /// The block below `key`; an empty one when the file has none.
    func block(_ key: String) -> ConfigBlock {
        guard case .block(let block)? = self.values[key]?.value else {
            return ConfigBlock(path: self.path.appending(key), location: self.location)
        }
        return block
    }

    func grant(_ key: String) -> Grant? {
        guard case .grant(let grant)? = self.values[key]?.value else { return nil }
        return grant
    }

    /// The blocks of a map or a list.
    func map(_ key: String) -> [ConfigBlock] {
        guard case .map(let blocks)? = self.values[key]?.value else { return [] }
        return blocks
    }

    /// Whether the file or something that wins over it says anything about `key`, right or wrong.
    func has(_ key: String) -> Bool {
        self.written.contains(key) || self.values[key] != nil
    }

    /// Where `key` stands, or else the block.
    func location(of key: String) -> SourceLocation {
        self.values[key]?.location ?? self.location
    }
}

struct Located<Value> {
    var value: Value
    var location: SourceLocation
}

enum ConfigValue {
    case text(String)
    case boolean(Bool)
    case integer(Int)
    case duration(Duration)
    case size(Int)
    case list([Located<String>])
    case block(ConfigBlock)
    case grant(Grant)
    /// In the order of the file; the last component of each path is the name, or the index in a list.
    case map([ConfigBlock])
}

/// Keys from the top of the file down to one value.
struct KeyPathText: Hashable {
    var keys: [String]

    /// As in a ``ConfigurationError``: `brokers.plant.mqtt.version`.
    var dotted: String { self.keys.joined(separator: ".") }
    var last: String { self.keys.last ?? "" }

    func appending(_ key: String) -> KeyPathText {
        KeyPathText(keys: self.keys + [key])
    }

    /// Before a message: `bridge "plant": retry.max`, `server.clients.port`.
    var label: String {
        guard let (noun, rest) = self.entry else { return self.dotted }
        return rest.isEmpty ? noun : "\(noun): \(rest)"
    }

    /// After "in": `bridge "plant"`, `retry of bridge "plant"`, `server.clients`, `the file`.
    var place: String {
        guard let (noun, rest) = self.entry else { return self.keys.isEmpty ? "the file" : self.dotted }
        return rest.isEmpty ? noun : "\(rest) of \(noun)"
    }

    /// `LINKSPAN_BRIDGES_PLANT_RETRY_MAX`; what is no letter or digit becomes `_`.
    var environmentName: String {
        let words = self.keys.map { key in
            String(
                key.unicodeScalars.map {
                    $0.isASCII && $0.properties.isAlphabetic || ("0"..."9").contains($0) ? Character($0) : "_"
                }
            )
            .uppercased()
        }
        return (["LINKSPAN"] + words).joined(separator: "_")
    }

    private var entry: (noun: String, rest: String)? {
        guard self.keys.count >= 2 else { return nil }
        let rest = self.keys[2...].joined(separator: ".")
        return switch self.keys[0] {
        case "brokers", "bridges", "hooks": ("\(self.keys[0].dropLast()) \"\(self.keys[1])\"", rest)
        case "permissions": ("permissions[\(self.keys[1])]", rest)
        default: nil
        }
    }
}
