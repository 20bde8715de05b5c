internal import CLinkspanFloor
internal import CLinkspanMosquitto
internal import Glibc
internal import LinkspanBridgeKit

/// PUBLISH in a bare loop over libmosquitto.
struct MQTTSource: FlowSource {
    private let client: MosquittoClient
    private let name: StaticString
    private let qos: Int32
    private let properties: MQTTProperties?
    private var identities: Identities?
    private var queued = 0
    private var published = 0

    /// Most messages under way with QoS 1, as many as a bridge has by default.
    private static let window = 500

    /// - Parameters:
    ///   - carriesHeader: whether each message gets the properties that a bridge would give it, always the same.
    ///   - identities: the properties of each, for a receiver that looks at them.
    init(port: UInt16, name: StaticString, qos: Int32, carriesHeader: Bool, identities: Identities? = nil) throws {
        self.client = try MosquittoClient(port: port, clientID: "bare-source")
        self.name = name
        self.qos = qos
        self.properties = carriesHeader ? MQTTProperties() : nil
        self.identities = identities
    }

    var room: Int { self.qos == 0 ? 4096 : Self.window - (self.published - self.client.inbox.settled) }

    mutating func publish(_ payload: UnsafeRawBufferPointer) throws {
        let properties = (self.identities?.next()).map { MQTTProperties($0) } ?? self.properties
        try self.client.publish(payload, to: self.name, qos: self.qos, properties: properties?.list)
        self.published += 1
        self.queued += 1
    }

    mutating func turn() throws {
        let isBurst = self.queued > 1
        self.queued = 0
        try self.client.turn(isBurst: isBurst, milliseconds: self.qos > 0 && self.room == 0 ? 20 : 0) { _ in }
    }
}

/// SUBSCRIBE in a bare loop over libmosquitto.
struct MQTTSink: FlowSink {
    private let client: MosquittoClient

    init(port: UInt16, name: StaticString, qos: Int32) throws {
        self.client = try MosquittoClient(port: port, clientID: "bare-sink")
        try self.client.subscribe(to: name, qos: qos)
    }

    mutating func receive(within milliseconds: Int32, _ body: (UnsafeRawBufferPointer) -> Void) throws {
        try self.client.turn(isBurst: false, milliseconds: milliseconds, body)
    }
}

/// What a bridge puts beside each message: a user property and a content type.
private final class MQTTProperties {
    private(set) var list: OpaquePointer?

    init(_ header: EnvelopeHeader = Identities.example) {
        mosquitto_property_add_string(&self.list, Int32(MQTT_PROP_CONTENT_TYPE.rawValue), "application/json")
        let origin = header.origin
        mosquitto_property_add_string_pair(
            &self.list, Int32(MQTT_PROP_USER_PROPERTY.rawValue), "ls-header",
            "\(origin.instance)/\(origin.epoch)/\(origin.sequence)/\(header.acceptedAt)")
    }

    deinit {
        mosquitto_property_free_all(&self.list)
    }
}

/// What callbacks leave behind; the client keeps it alive.
private final class MosquittoMail {
    var isConnected = false
    var isSubscribed = false
    var settled = 0
    var payloads: [UInt8] = []
    var ends: [Int] = []
}

/// Sole owner of one `struct mosquitto`. Lives on one thread.
private final class MosquittoClient {
    let inbox = MosquittoMail()
    private let raw: OpaquePointer
    private static let initialized: Void = { _ = mosquitto_lib_init() }()

    init(port: UInt16, clientID: String) throws {
        _ = Self.initialized
        guard let raw = mosquitto_new(clientID, true, Unmanaged.passUnretained(self.inbox).toOpaque()) else {
            throw BenchError("libmosquitto is out of memory")
        }
        self.raw = raw
        mosquitto_int_option(raw, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5)
        mosquitto_int_option(raw, MOSQ_OPT_TCP_NODELAY, 1)
        mosquitto_int_option(raw, MOSQ_OPT_SEND_MAXIMUM, 500)
        mosquitto_int_option(raw, MOSQ_OPT_RECEIVE_MAXIMUM, 1000)
        // Keeps the library from writing inside of each publish; a turn writes them all.
        mosquitto_threaded_set(raw, true)
        mosquitto_connect_callback_set(raw) { _, mail, code in MosquittoClient.mail(mail)?.isConnected = code == 0 }
        mosquitto_subscribe_callback_set(raw) { _, mail, _, _, _ in MosquittoClient.mail(mail)?.isSubscribed = true }
        mosquitto_publish_callback_set(raw) { _, mail, _ in MosquittoClient.mail(mail)?.settled += 1 }
        mosquitto_message_callback_set(raw) { _, mail, message in
            guard let mail = MosquittoClient.mail(mail), let message, let payload = message.pointee.payload else {
                return
            }
            mail.payloads.append(
                contentsOf: UnsafeRawBufferPointer(start: payload, count: Int(message.pointee.payloadlen)))
            mail.ends.append(mail.payloads.count)
        }
        guard mosquitto_connect(raw, "127.0.0.1", Int32(port), 60) == 0 else {
            throw BenchError("no connection to mosquitto on port \(port)")
        }
        try self.wait("mosquitto accepts us") { self.inbox.isConnected }
    }

    deinit {
        mosquitto_destroy(self.raw)
    }

    private static func mail(_ pointer: UnsafeMutableRawPointer?) -> MosquittoMail? {
        pointer.map { Unmanaged<MosquittoMail>.fromOpaque($0).takeUnretainedValue() }
    }

    func subscribe(to name: StaticString, qos: Int32) throws {
        try Self.check(mosquitto_subscribe(self.raw, nil, Self.text(name), qos))
        try self.wait("mosquitto takes the subscription") { self.inbox.isSubscribed }
    }

    func publish(
        _ payload: UnsafeRawBufferPointer, to name: StaticString, qos: Int32, properties: OpaquePointer?
    ) throws {
        try Self.check(
            mosquitto_publish_v5(
                self.raw, nil, Self.text(name), Int32(payload.count), payload.baseAddress, qos, false, properties))
    }

    /// Writes what is queued, waits for so long at most, and reads what there is.
    func turn(isBurst: Bool, milliseconds: Int32, _ body: (UnsafeRawBufferPointer) -> Void) throws {
        if mosquitto_want_write(self.raw) {
            if isBurst { linkspan_cork(mosquitto_socket(self.raw), 1) }
            try Self.check(mosquitto_loop_write(self.raw, 1))
            if isBurst { linkspan_cork(mosquitto_socket(self.raw), 0) }
        }
        let events = Int16(POLLIN) | (mosquitto_want_write(self.raw) ? Int16(POLLOUT) : 0)
        var entry = pollfd(fd: mosquitto_socket(self.raw), events: events, revents: 0)
        guard Glibc.poll(&entry, 1, milliseconds) > 0 else { return }
        if entry.revents & Int16(POLLIN) != 0 {
            for _ in 0..<256 {
                errno = 0
                try Self.check(mosquitto_loop_read(self.raw, 1))
                if errno == EAGAIN { break }
            }
        }
        var start = 0
        self.inbox.payloads.withUnsafeBytes { bytes in
            for end in self.inbox.ends {
                body(UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
                start = end
            }
        }
        self.inbox.payloads.removeAll(keepingCapacity: true)
        self.inbox.ends.removeAll(keepingCapacity: true)
    }

    private func wait(_ what: String, _ isDone: () -> Bool) throws {
        let deadline = MonotonicClock.nanoseconds() + 10_000_000_000
        while !isDone() {
            guard MonotonicClock.nanoseconds() < deadline else { throw BenchError("gave up waiting until \(what)") }
            try self.turn(isBurst: false, milliseconds: 50) { _ in }
        }
    }

    private static func text(_ name: StaticString) -> UnsafePointer<CChar> {
        UnsafeRawPointer(name.utf8Start).assumingMemoryBound(to: CChar.self)
    }

    private static func check(_ code: Int32) throws {
        if code != 0 { throw BenchError("libmosquitto: \(String(cString: mosquitto_strerror(code)))") }
    }
}
