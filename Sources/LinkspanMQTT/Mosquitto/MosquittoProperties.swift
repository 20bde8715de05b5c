internal import CLinkspanMosquitto
internal import LinkspanBridgeKit

/// Sole owner of one property list of MQTT 5.
struct MosquittoProperties: ~Copyable {
    private(set) var list: OpaquePointer?

    init() {}

    deinit {
        var list = self.list
        mosquitto_property_free_all(&list)
    }

    mutating func add(sessionExpiry: UInt32) throws(MosquittoError) {
        try Self.check(
            mosquitto_property_add_int32(&self.list, Int32(MQTT_PROP_SESSION_EXPIRY_INTERVAL.rawValue), sessionExpiry))
    }

    mutating func addJSONContentType() throws(MosquittoError) {
        try Self.check(
            mosquitto_property_add_string(&self.list, Int32(MQTT_PROP_CONTENT_TYPE.rawValue), "application/json"))
    }

    /// - Returns: false when the header cannot be expressed.
    mutating func add(_ header: EnvelopeHeader, _ text: inout HeaderText) throws(MosquittoError) -> Bool {
        guard let value = text.write(header)?.text.baseAddress else { return false }
        let name = UnsafeRawPointer(HeaderKey.header.utf8Start).assumingMemoryBound(to: CChar.self)
        try Self.check(
            mosquitto_property_add_string_pair(
                &self.list, Int32(MQTT_PROP_USER_PROPERTY.rawValue), name, value.assumingMemoryBound(to: CChar.self)))
        return true
    }

    private static func check(_ code: Int32) throws(MosquittoError) {
        if code != 0 { throw MosquittoError(code) }
    }
}
