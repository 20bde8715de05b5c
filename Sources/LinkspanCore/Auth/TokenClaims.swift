public import LinkspanWire

/// The payload of a token: any JSON, usually an object of claims.
public struct TokenClaims: Sendable, Hashable {
    public let json: JSONText
    private let root: JSONValue

    /// Nil unless `json` is valid JSON.
    public init?(json: [UInt8]) {
        guard let root = try? Self.scanner.scan(json.span.bytes) else { return nil }
        self.json = JSONText(alreadyValid: json)
        self.root = root
    }

    /// An object of strings.
    public init(_ strings: KeyValuePairs<String, String>) {
        var json: [UInt8] = []
        json.put("{")
        for (index, (name, value)) in strings.enumerated() {
            if index > 0 { json.put(",") }
            json.putJSONString(name)
            json.put(":")
            json.putJSONString(value)
        }
        json.put("}")
        self.json = JSONText(alreadyValid: json)
        self.root = JSONValue(kind: .object, range: 0..<json.count)
    }

    /// The members of an object, in order; empty for anything else.
    public var members: [(name: String, value: JSONText)] {
        guard self.isObject else { return [] }
        var members: [(name: String, value: JSONText)] = []
        try? Self.scanner.forEachMember(of: self.root, in: self.json.utf8.span.bytes) { key, member in
            let value = JSONText(alreadyValid: Array(self.json.utf8[member.range]))
            members.append((key.string(in: self.json.utf8.span.bytes), value))
        }
        return members
    }

    public var isObject: Bool { self.root.kind == .object }

    /// The claim as text when it is a string, or the JSON of a number or boolean; nil when it is absent, null or structured.
    public func scalar(_ name: String) -> String? {
        guard let value = self.value(name) else { return nil }
        switch value.kind {
        case .string: return value.string?.string(in: self.json.utf8.span.bytes)
        case .number, .boolean: return self.text(of: value)
        case .object, .array, .null: return nil
        }
    }

    /// The claim when it is a string.
    public func string(_ name: String) -> String? {
        self.value(name)?.string?.string(in: self.json.utf8.span.bytes)
    }

    /// The scalars of a claim: itself, or the elements when it is an array.
    public func scalars(_ name: String) -> [String] {
        guard let value = self.value(name) else { return [] }
        guard value.kind == .array else { return self.scalar(name).map { [$0] } ?? [] }
        var elements: [String] = []
        let bytes = self.json.utf8.span.bytes
        try? Self.scanner.forEachElement(of: value, in: bytes) { element in
            switch element.kind {
            case .string: elements.append(element.string?.string(in: self.json.utf8.span.bytes) ?? "")
            case .number, .boolean: elements.append(self.text(of: element))
            case .object, .array, .null: break
            }
        }
        return elements
    }

    /// The raw JSON of a claim.
    public func value(named name: String) -> JSONText? {
        self.value(name).map { JSONText(alreadyValid: Array(self.json.utf8[$0.range])) }
    }

    /// `exp` in seconds since 1970, when it is there and a number.
    public var expiry: Double? { self.number("exp") }

    /// `iat` in seconds since 1970, when it is there and a number.
    public var issuedAt: Double? { self.number("iat") }

    /// Checks `nbf`, `exp`, `aud` and `iss` in the order of jsonwebtoken.
    /// - Parameter now: whole seconds since 1970.
    public func check(now: Double, audience: String?, issuer: String?) throws(TokenRefusal) {
        if let notBefore = self.value("nbf") {
            guard notBefore.kind == .number, let seconds = self.number("nbf") else { throw .problem(.badNotBefore) }
            guard seconds <= now else { throw .notActive(until: seconds) }
        }
        if let expiry = self.value("exp") {
            guard expiry.kind == .number, let seconds = self.number("exp") else { throw .problem(.badExpiry) }
            guard now < seconds else { throw .expired(at: seconds) }
        }
        if let audience, !self.scalars("aud").contains(audience) { throw .problem(.wrongAudience(expected: audience)) }
        if let issuer, self.string("iss") != issuer { throw .problem(.wrongIssuer(expected: issuer)) }
    }

    /// A claim as a number; JSON beyond the range of doubles is infinite, as in JavaScript.
    private func number(_ name: String) -> Double? {
        guard let value = self.value(name), value.kind == .number else { return nil }
        return Double(self.text(of: value))
    }

    private func text(of value: JSONValue) -> String {
        String(decoding: self.json.utf8[value.range], as: UTF8.self)
    }

    private func value(_ name: String) -> JSONValue? {
        guard self.root.kind == .object else { return nil }
        var found: JSONValue?
        let bytes = self.json.utf8.span.bytes
        try? Self.scanner.forEachMember(of: self.root, in: bytes) { key, member in
            if key.string(in: self.json.utf8.span.bytes) == name { found = member }
        }
        return found
    }

    private static let scanner = JSONScanner(maximumDepth: 64)
}
