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

    mutating func add(_ header: EnvelopeHeader) throws(MosquittoError) {
        try self.add(HeaderKey.origin, header.origin.instance.string)
        try self.add(HeaderKey.epoch, String(header.origin.epoch))
        try self.add(HeaderKey.sequence, String(header.origin.sequence))
        try self.add(HeaderKey.hops, header.hopList)
        try self.add(HeaderKey.acceptedAt, String(header.acceptedAt))
    }

    private mutating func add(_ key: StaticString, _ value: String) throws(MosquittoError) {
        let name = UnsafeRawPointer(key.utf8Start).assumingMemoryBound(to: CChar.self)
        try Self.check(
            mosquitto_property_add_string_pair(&self.list, Int32(MQTT_PROP_USER_PROPERTY.rawValue), name, value))
    }

    private static func check(_ code: Int32) throws(MosquittoError) {
        if code != 0 { throw MosquittoError(code) }
    }
}
