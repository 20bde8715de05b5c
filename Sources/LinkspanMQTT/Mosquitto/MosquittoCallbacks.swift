internal import CLinkspanMosquitto

// The library calls these on the thread of its handle, inside `loop_read` and `loop_write`, with its callback lock held: they only store,
// and never call a function that changes callbacks, reconnects or destroys.

private func inbox(_ userdata: UnsafeMutableRawPointer?) -> MosquittoInbox? {
    // MosquittoHandle owns the inbox and outlives every call of the library.
    userdata.map { Unmanaged<MosquittoInbox>.fromOpaque($0).takeUnretainedValue() }
}

func mosquittoConnected(
    _: OpaquePointer?, userdata: UnsafeMutableRawPointer?, reason: Int32, flags: Int32, properties: OpaquePointer?
) {
    // CONNACK's first flag bit: the broker had kept our session (MQTT 5, 3.2.2.1.1).
    var answer = ConnectionAnswer(reason: reason, isSessionPresent: flags & 1 != 0)
    var short: UInt16 = 0
    var byte: UInt8 = 0
    if mosquitto_property_read_int16(properties, Int32(MQTT_PROP_RECEIVE_MAXIMUM.rawValue), &short, false) != nil {
        answer.receiveMaximum = Int(short)
    }
    if mosquitto_property_read_int16(properties, Int32(MQTT_PROP_SERVER_KEEP_ALIVE.rawValue), &short, false) != nil {
        answer.keepalive = Int(short)
    }
    if mosquitto_property_read_byte(properties, Int32(MQTT_PROP_MAXIMUM_QOS.rawValue), &byte, false) != nil {
        answer.maximumQoS = byte
    }
    var long: UInt32 = 0
    let expiry = Int32(MQTT_PROP_SESSION_EXPIRY_INTERVAL.rawValue)
    if mosquitto_property_read_int32(properties, expiry, &long, false) != nil { answer.sessionExpiry = Int(long) }
    inbox(userdata)?.answer = answer
}

func mosquittoDisconnected(
    _: OpaquePointer?, userdata: UnsafeMutableRawPointer?, reason: Int32, properties: OpaquePointer?
) {
    inbox(userdata)?.disconnectReason = reason
}

func mosquittoPublished(
    _: OpaquePointer?, userdata: UnsafeMutableRawPointer?, identifier: Int32, reason: Int32, properties: OpaquePointer?
) {
    inbox(userdata)?.append(published: UInt16(truncatingIfNeeded: identifier), reason: reason)
}

func mosquittoArrived(
    _: OpaquePointer?, userdata: UnsafeMutableRawPointer?, message: UnsafePointer<mosquitto_message>?,
    properties: OpaquePointer?
) {
    guard let message else { return }
    inbox(userdata)?.append(message.pointee, properties: properties)
}

func mosquittoSubscribed(
    _: OpaquePointer?, userdata: UnsafeMutableRawPointer?, identifier: Int32, count: Int32,
    granted: UnsafePointer<Int32>?, properties: OpaquePointer?
) {
    let codes = Array(UnsafeBufferPointer(start: granted, count: granted == nil ? 0 : Int(count)))
    inbox(userdata)?.append(subscribed: UInt16(truncatingIfNeeded: identifier), granted: codes)
}

func mosquittoUnsubscribed(
    _: OpaquePointer?, userdata: UnsafeMutableRawPointer?, identifier: Int32, properties: OpaquePointer?
) {
    inbox(userdata)?.append(unsubscribed: UInt16(truncatingIfNeeded: identifier))
}

/// Installed while connecting only: with a log callback the library formats a line per message.
func mosquittoLogged(
    handle: OpaquePointer?, userdata: UnsafeMutableRawPointer?, level: Int32, text: UnsafePointer<CChar>?
) {
    guard level == Int32(MOSQ_LOG_ERR), let text, let inbox = inbox(userdata), inbox.complaints.count < 16 else {
        return
    }
    inbox.complaints.append(String(cString: text))
    if let handle, let problem = linkspan_certificate_problem(handle) {
        inbox.complaints.append(String(cString: problem))
    }
}
