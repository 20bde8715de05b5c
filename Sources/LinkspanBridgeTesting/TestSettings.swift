public import LinkspanBridgeKit

extension BridgeSettings {
    /// Settings for a test of `kind` against `url`, with every option at its default.
    ///
    /// - Parameter options: values that differ from the default.
    /// - Precondition: the defaults that `kind` declares can be read as their kinds.
    public init<Kind: Bridge>(
        testing kind: Kind.Type, url: UpstreamURL, username: String? = nil, password: Secret? = nil,
        tls: TLSFiles = TLSFiles(), guarantee: Guarantee = .atMostOnce, options: [String: OptionValue] = [:]
    ) {
        self.init(
            name: "conformance", instance: InstanceID("conformance")!, urls: [url], username: username,
            password: password,
            tls: tls, guarantee: guarantee, optionsPath: "brokers.conformance.\(Kind.kind)",
            options: Dictionary(uniqueKeysWithValues: Kind.options.map { ($0.key, $0.defaultValue) })
                .merging(options) { _, given in given })
    }
}

extension OptionDeclaration {
    /// The default as a value.
    ///
    /// - Precondition: ``defaultText`` can be read as ``kind``.
    var defaultValue: OptionValue {
        let text = self.defaultText
        let value: OptionValue? =
            switch self.kind {
            case .text, .choice: .text(text)
            case .boolean: Bool(text).map(OptionValue.boolean)
            case .integer: Int(text).map(OptionValue.integer)
            case .duration: Self.duration(text).map(OptionValue.duration)
            case .size: Self.size(text).map(OptionValue.size)
            }
        guard let value else { preconditionFailure("option \(self.key): the default \(text) is not of its kind") }
        return value
    }

    private static func duration(_ text: String) -> Duration? {
        let units: [(String, Duration)] = [
            ("ms", .milliseconds(1)), ("s", .seconds(1)), ("m", .seconds(60)), ("h", .seconds(3600)),
        ]
        for (suffix, unit) in units where text.hasSuffix(suffix) {
            return Int(text.dropLast(suffix.count)).map { unit * $0 }
        }
        return nil
    }

    private static func size(_ text: String) -> Int? {
        let units = [
            ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("KB", 1_000), ("MB", 1_000_000),
            ("GB", 1_000_000_000), ("B", 1),
        ]
        for (suffix, unit) in units where text.hasSuffix(suffix) {
            return Int(text.dropLast(suffix.count)).map { unit * $0 }
        }
        return Int(text)
    }
}
