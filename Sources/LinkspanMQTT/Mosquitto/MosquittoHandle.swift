internal import CLinkspanMosquitto
internal import Glibc
internal import LinkspanBridgeKit
internal import NIOCore

/// Sole owner of one `struct mosquitto`, with its loop driven from outside. Not thread-safe: lives on the thread that connects, then on the
/// event loop of its conversation. After ``connect(host:port:keepalive:bindAddress:sessionExpiry:)`` nothing here waits: the socket does not
/// block, and what it does not take stays queued.
///
/// Writes are deferred: publishing, subscribing and acknowledging only queue, until ``write()`` is called. The library sends the PUBACK of
/// an incoming message by itself; that it waits for our ``write()`` is what lets a message survive a crash before it was taken.
struct MosquittoHandle: ~Copyable {
    /// The library keeps a pointer to it; stored here, it is released after `deinit` has destroyed the library's object.
    let inbox: MosquittoInbox

    private let raw: OpaquePointer

    private init(raw: OpaquePointer, inbox: MosquittoInbox) {
        self.raw = raw
        self.inbox = inbox
    }

    static func make(clientID: String, isCleanStart: Bool, isVersion5: Bool) throws(MosquittoError) -> MosquittoHandle {
        try Self.check(Self.library)
        let inbox = MosquittoInbox(isVersion5: isVersion5)
        guard let raw = mosquitto_new(clientID, isCleanStart, Unmanaged.passUnretained(inbox).toOpaque()) else {
            throw MosquittoError(MosquittoError.Code.outOfMemory)
        }
        let handle = MosquittoHandle(raw: raw, inbox: inbox)
        mosquitto_connect_v5_callback_set(raw, mosquittoConnected)
        mosquitto_disconnect_v5_callback_set(raw, mosquittoDisconnected)
        mosquitto_publish_v5_callback_set(raw, mosquittoPublished)
        mosquitto_message_v5_callback_set(raw, mosquittoArrived)
        mosquitto_subscribe_v5_callback_set(raw, mosquittoSubscribed)
        mosquitto_unsubscribe_v5_callback_set(raw, mosquittoUnsubscribed)
        mosquitto_log_callback_set(raw, mosquittoLogged)
        let version = isVersion5 ? MQTT_PROTOCOL_V5 : MQTT_PROTOCOL_V311
        try Self.check(mosquitto_int_option(raw, MOSQ_OPT_PROTOCOL_VERSION, Int32(version)))
        try Self.check(mosquitto_int_option(raw, MOSQ_OPT_TCP_NODELAY, 1))
        try Self.check(mosquitto_threaded_set(raw, true))
        return handle
    }

    deinit {
        mosquitto_destroy(self.raw)
    }

    /// Once per process. `mosquitto_new` ignores SIGPIPE for the whole process, which OpenSSL's plain `write` needs.
    private static let library: Int32 = mosquitto_lib_init()

    // MARK: Before connecting

    mutating func setCredentials(username: String?, password: Secret?) throws(MosquittoError) {
        try Self.check(mosquitto_username_pw_set(self.raw, username, password?.value))
    }

    /// - Parameters:
    ///   - egress: most messages of QoS 1 and 2 that the library may have under way.
    ///   - ingress: the same from the broker to us.
    mutating func setLimits(egress: Int, ingress: Int) throws(MosquittoError) {
        try Self.check(mosquitto_int_option(self.raw, MOSQ_OPT_SEND_MAXIMUM, Int32(clamping: min(egress, 65535))))
        try Self.check(mosquitto_int_option(self.raw, MOSQ_OPT_RECEIVE_MAXIMUM, Int32(clamping: min(ingress, 65535))))
    }

    /// TLS 1.2 or later, with the certificate and the host name checked.
    mutating func setTLS(authorities: String, certificate: String?, key: String?) throws(MosquittoError) {
        // Without a callback OpenSSL would ask the terminal for the passphrase of an encrypted key, and wait.
        try Self.check(
            mosquitto_tls_set(self.raw, authorities, nil, certificate, key) { buffer, size, _, _ in
                if size > 0 { buffer?[0] = 0 }
                return 0
            })
        try Self.check(mosquitto_tls_opts_set(self.raw, 1, "tlsv1.2", nil))
        try Self.check(mosquitto_tls_insecure_set(self.raw, false))
    }

    /// Starts connecting; host names are looked up here and now.
    ///
    /// - Parameters:
    ///   - keepalive: seconds, at least 5.
    ///   - bindAddress: the wildcard of one address family keeps to that family: the library tries only the first address that fits.
    ///   - sessionExpiry: seconds; nil for a session that ends with the connection.
    mutating func connect(
        host: String, port: Int, keepalive: Int32, bindAddress: String?, sessionExpiry: UInt32?
    ) throws(MosquittoError) {
        if let sessionExpiry {
            var properties = MosquittoProperties()
            try properties.add(sessionExpiry: sessionExpiry)
            // The asynchronous call takes no properties. This one refuses the missing host, but only after it has stored them.
            _ = mosquitto_connect_bind_v5(self.raw, nil, Int32(port), keepalive, nil, properties.list)
        }
        try Self.check(mosquitto_connect_bind_async(self.raw, host, Int32(clamping: port), keepalive, bindAddress))
    }

    /// Ends the phase in which the library's complaints are gathered.
    mutating func stopListeningToLog() {
        mosquitto_log_callback_set(self.raw, nil)
    }

    // MARK: The loop

    /// -1 when there is no connection.
    var descriptor: Int32 { mosquitto_socket(self.raw) }

    var wantsWrite: Bool { mosquitto_want_write(self.raw) }

    /// Most calls of the library in one ``read(until:)``: answers to publishes and pings have no bound of their own.
    private static let readLimit = 512

    /// Reads what there is, until nothing is left, or `isEnough`, or the turn has lasted long enough.
    ///
    /// - Returns: whether more may be waiting.
    mutating func read(until isEnough: (MosquittoInbox) -> Bool) throws(MosquittoError) -> Bool {
        for _ in 0..<Self.readLimit where !isEnough(self.inbox) {
            // One call reads as many packets as messages are under way, and decides by `errno` whether the socket is empty,
            // even by one that is left over from something else.
            let heard = self.inbox.heardCount
            errno = 0
            let code = mosquitto_loop_read(self.raw, 1)
            if code != 0 { throw MosquittoError(code) }
            let isEmpty = errno == EAGAIN
            if self.descriptor < 0 { return false }
            // Who queues an answer tells itself by a pipe that nobody empties, so that its EAGAIN says nothing about the socket.
            let isAmbiguous = self.wantsWrite && self.inbox.heardCount != heard
            if isEmpty, !isAmbiguous { return false }
        }
        return true
    }

    /// Writes what is queued, as far as the socket takes it.
    ///
    /// - Parameter isBurst: that more than one packet is queued. The library writes each by a call of its own; corked, the kernel joins them
    ///   into full segments (tcp(7), TCP_CORK), and sends the rest when the cork is drawn.
    mutating func write(isBurst: Bool = false) throws(MosquittoError) {
        let descriptor = self.descriptor
        if isBurst { Self.setCork(true, on: descriptor) }
        errno = 0
        let code = mosquitto_loop_write(self.raw, 1)
        let error = code == 0 ? nil : MosquittoError(code)
        // The library closes the socket after an error; its number may be another file's by then.
        if isBurst, self.descriptor == descriptor { Self.setCork(false, on: descriptor) }
        if let error { throw error }
    }

    private static func setCork(_ isCorked: Bool, on descriptor: Int32) {
        var value: Int32 = isCorked ? 1 : 0
        _ = setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_CORK, &value, socklen_t(MemoryLayout<Int32>.size))
    }

    /// Sends pings and notices that they are not answered. Call about once a second.
    mutating func keepAlive() throws(MosquittoError) {
        try Self.check(mosquitto_loop_misc(self.raw))
    }

    // MARK: Packets

    /// Queues a publish and returns its packet identifier.
    mutating func publish(
        topic: String, payload: ByteBuffer, properties: borrowing MosquittoProperties, qos: Int32, retains: Bool
    ) throws(MosquittoError) -> UInt16 {
        var identifier: Int32 = 0
        let code = payload.withUnsafeReadableBytes { bytes in
            mosquitto_publish_v5(
                self.raw, &identifier, topic, Int32(clamping: bytes.count), bytes.baseAddress, qos, retains,
                properties.list)
        }
        if code != 0 { throw MosquittoError(code) }
        return UInt16(truncatingIfNeeded: identifier)
    }

    /// Queues one SUBSCRIBE for all of `topics`.
    mutating func subscribe(_ topics: some Collection<Topic>, qos: Int32, options: Int32) throws(MosquittoError)
        -> UInt16
    {
        var identifier: Int32 = 0
        let code = Self.withTexts(topics) { texts in
            mosquitto_subscribe_multiple(
                self.raw, &identifier, Int32(texts.count), texts.baseAddress, qos, options, nil)
        }
        if code != 0 { throw MosquittoError(code) }
        return UInt16(truncatingIfNeeded: identifier)
    }

    mutating func unsubscribe(_ topics: some Collection<Topic>) throws(MosquittoError) -> UInt16 {
        var identifier: Int32 = 0
        let code = Self.withTexts(topics) { texts in
            mosquitto_unsubscribe_multiple(self.raw, &identifier, Int32(texts.count), texts.baseAddress, nil)
        }
        if code != 0 { throw MosquittoError(code) }
        return UInt16(truncatingIfNeeded: identifier)
    }

    mutating func disconnect() throws(MosquittoError) {
        try Self.check(mosquitto_disconnect_v5(self.raw, 0, nil))
    }

    private static func check(_ code: Int32) throws(MosquittoError) {
        if code != 0 { throw MosquittoError(code) }
    }

    private static func withTexts<Result>(
        _ topics: some Collection<Topic>, _ body: (UnsafeBufferPointer<UnsafeMutablePointer<CChar>?>) -> Result
    ) -> Result {
        let texts = topics.map { strdup($0.text) }
        defer { for text in texts { free(text) } }
        return texts.withUnsafeBufferPointer(body)
    }
}
