/// The `error` of a failed response: `name` and `message`, which clients turn back into an error object, and what it
/// carries beside them.
public struct ProtocolError: Error, Hashable, Sendable {
    public enum Value: Hashable, Sendable {
        case string(String)
        case integer(Int64)
        case boolean(Bool)
        case json(JSONText)
    }

    public struct Field: Hashable, Sendable {
        public var key: String
        public var value: Value

        public init(_ key: String, _ value: Value) {
            self.key = key
            self.value = value
        }
    }

    public var name: String
    public var message: String
    /// In the order in which they are written.
    public var fields: [Field]

    public init(name: String, message: String, fields: [Field] = []) {
        self.name = name
        self.message = message
        self.fields = fields
    }
}

extension ProtocolError {
    /// Writes `{"message":..,"name":..,...fields}`, the order of socketcluster-server.
    public func encode(into sink: inout some ByteSink) {
        sink.put("{\"message\":")
        sink.putJSONString(self.message)
        sink.put(",\"name\":")
        sink.putJSONString(self.name)
        for field in self.fields {
            sink.put(UInt8(ascii: ","))
            sink.putJSONString(field.key)
            sink.put(UInt8(ascii: ":"))
            field.value.encode(into: &sink)
        }
        sink.put(UInt8(ascii: "}"))
    }
}

extension ProtocolError.Value {
    func encode(into sink: inout some ByteSink) {
        switch self {
        case .string(let string): sink.putJSONString(string)
        case .integer(let integer): sink.put(decimal: integer)
        case .boolean(let boolean): sink.put(boolean ? "true" : "false" as StaticString)
        case .json(let text): sink.put(text)
        }
    }
}
