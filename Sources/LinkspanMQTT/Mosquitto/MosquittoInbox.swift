internal import CLinkspanMosquitto
internal import Glibc
internal import LinkspanBridgeKit
internal import NIOCore

/// What the broker said to a CONNECT.
struct ConnectionAnswer {
    /// 0 is acceptance; else a reason code of MQTT 5 or a return code of 3.1.1.
    var reason: Int32
    var isSessionPresent: Bool
    /// Most messages of QoS 1 and 2 that the broker wants under way (MQTT 5, 3.2.2.3.3).
    var receiveMaximum: Int?
    var maximumQoS: UInt8?
    /// Seconds; the broker may set its own (3.2.2.3.14).
    var keepalive: Int?
    /// Seconds; nil when the broker keeps the session as long as it was asked to (3.2.2.3.2).
    var sessionExpiry: Int?
}

/// Where libmosquitto's callbacks put what they hear, until the conversation looks.
///
/// The library holds an unretained pointer to it: ``MosquittoHandle`` keeps it alive until the library has let go. Lives on the thread of
/// its handle.
final class MosquittoInbox {
    var answer: ConnectionAnswer?
    /// Nil until the connection ended by a DISCONNECT or by an error of the library.
    var disconnectReason: Int32?
    private var published: [(identifier: UInt16, reason: Int32)] = []
    private var subscribed: [(identifier: UInt16, granted: [Int32])] = []
    private var unsubscribed: [UInt16] = []
    /// What went wrong while connecting, in the library's words; TLS says there what its return code does not.
    var complaints: [String] = []

    private let isVersion5: Bool
    private var headers = HeaderReader()
    private var arrivals: [Arrival] = []
    private var arena = ByteBuffer()
    private(set) var arrivedBytes = 0
    /// Packets that were put here since the beginning, modulo its range.
    private(set) var heardCount: UInt32 = 0

    private struct Arrival {
        var topic: String
        var header: EnvelopeHeader?
        var offset: Int
        var length: Int
        /// Its own storage when it is large, so that a small neighbour which somebody keeps does not hold it in memory.
        var large: ByteBuffer?
    }

    /// From this size on, in bytes, a payload gets storage of its own; smaller ones of one batch share one allocation.
    private static let largePayload = 16_384

    init(isVersion5: Bool) {
        self.isVersion5 = isVersion5
    }

    var arrivedCount: Int { self.arrivals.count }

    /// Moves what has arrived out, in order.
    func takeArrivals() -> [IngressMessage] {
        let result = self.arrivals.map { arrival in
            IngressMessage(
                name: arrival.topic,
                payload: arrival.large ?? self.arena.getSlice(at: arrival.offset, length: arrival.length)
                    ?? ByteBuffer(),
                header: arrival.header)
        }
        self.arrivals.removeAll(keepingCapacity: true)
        self.arena = ByteBuffer()
        self.arrivedBytes = 0
        return result
    }

    func append(published identifier: UInt16, reason: Int32) {
        self.heardCount &+= 1
        self.published.append((identifier, reason))
    }

    func append(subscribed identifier: UInt16, granted: [Int32]) {
        self.heardCount &+= 1
        self.subscribed.append((identifier, granted))
    }

    func append(unsubscribed identifier: UInt16) {
        self.heardCount &+= 1
        self.unsubscribed.append(identifier)
    }

    /// Exchanges the answers to publishes for an empty array, whose storage is used for the next ones.
    func exchangePublished(for scratch: inout [(identifier: UInt16, reason: Int32)]) {
        swap(&self.published, &scratch)
    }

    func takeSubscribed() -> [(identifier: UInt16, granted: [Int32])] {
        defer { self.subscribed = [] }
        return self.subscribed
    }

    func takeUnsubscribed() -> [UInt16] {
        defer { self.unsubscribed = [] }
        return self.unsubscribed
    }

    func append(_ message: mosquitto_message, properties: OpaquePointer?) {
        let payload = UnsafeRawBufferPointer(
            start: message.payload, count: message.payload == nil ? 0 : Int(message.payloadlen))
        // MQTT 3.1.1 has no way to decline what the broker retained: it comes again at every subscription, with this flag, which live
        // messages do not have (3.3.1.3).
        guard let topic = message.topic, self.isVersion5 || !message.retain else { return }
        var arrival = Arrival(
            topic: String(cString: topic), header: properties.flatMap(self.header), offset: 0, length: payload.count)
        if payload.count >= Self.largePayload {
            arrival.large = ByteBuffer(bytes: payload)
        } else {
            arrival.offset = self.arena.writerIndex
            self.arena.writeBytes(payload)
        }
        self.arrivedBytes += payload.count
        self.heardCount &+= 1
        self.arrivals.append(arrival)
    }

    private func header(_ properties: OpaquePointer) -> EnvelopeHeader? {
        var fields = HeaderProperties()
        var next: OpaquePointer? = properties
        var isFirst = true
        for _ in 0..<HeaderProperties.propertyLimit {
            var name: UnsafeMutablePointer<CChar>?
            var value: UnsafeMutablePointer<CChar>?
            next = mosquitto_property_read_string_pair(
                next, Int32(MQTT_PROP_USER_PROPERTY.rawValue), &name, &value, !isFirst)
            defer {
                free(name)
                free(value)
            }
            guard next != nil, let name, let value else { break }
            isFirst = false
            fields.add(
                name: UnsafeRawBufferPointer(start: name, count: strlen(name)),
                value: UnsafeRawBufferPointer(start: value, count: strlen(value)), &self.headers)
        }
        return fields.header()
    }
}

@available(*, unavailable)
extension MosquittoInbox: Sendable {}
