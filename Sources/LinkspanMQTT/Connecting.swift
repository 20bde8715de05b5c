internal import CLinkspanMosquitto
internal import Glibc
internal import LinkspanBridgeKit

/// A connection that the broker accepted.
struct Connected: ~Copyable {
    var handle: MosquittoHandle
    let answer: ConnectionAnswer

    init(handle: consuming MosquittoHandle, answer: ConnectionAnswer) {
        self.handle = handle
        self.answer = answer
    }
}

/// From a host name to the broker's CONNACK.
enum Connecting {
    /// Nil when the task was cancelled meanwhile.
    static func connect(
        plan: ConversationPlan, upstream: UpstreamURL, signal: WakeSignal
    ) throws(UpstreamError) -> Connected? {
        let bindAddresses = try Self.bindAddresses(for: upstream.host)
        for address in bindAddresses.dropLast() {
            do {
                return try Self.attempt(plan: plan, upstream: upstream, signal: signal, bindAddress: address)
            } catch  where error.code == .unreachable {
                continue
            }
        }
        return try Self.attempt(plan: plan, upstream: upstream, signal: signal, bindAddress: bindAddresses.last ?? nil)
    }

    /// The wildcard address of each family that `host` has addresses of, in the resolver's order; one nil when there is only one family.
    ///
    /// An asynchronous connect of the library stays with the first address, whether or not somebody listens there: `localhost` would mean
    /// IPv6 alone. Bound to the wildcard of the other family it passes over the first.
    private static func bindAddresses(for host: String) throws(UpstreamError) -> [String?] {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var first: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, nil, &hints, &first)
        guard code == 0 else {
            throw UpstreamError(.unreachable, "cannot look up \(host): \(String(cString: gai_strerror(code)))")
        }
        defer { freeaddrinfo(first) }
        var addresses: [String?] = []
        var next = first
        while let entry = next?.pointee {
            let address = entry.ai_family == AF_INET6 ? "::" : "0.0.0.0"
            if !addresses.contains(address) { addresses.append(address) }
            next = entry.ai_next
        }
        return addresses.count > 1 ? addresses : [nil]
    }

    private static func attempt(
        plan: ConversationPlan, upstream: UpstreamURL, signal: WakeSignal, bindAddress: String?
    ) throws(UpstreamError) -> Connected? {
        var handle = try Self.prepare(plan: plan, usesTLS: upstream.scheme == "mqtts")
        let deadline = ContinuousClock.now + plan.connectTimeout
        do {
            try handle.connect(
                host: upstream.host, port: upstream.port, keepalive: plan.keepalive, bindAddress: bindAddress,
                sessionExpiry: plan.keepsSession && plan.version == .v5 ? plan.sessionExpiry : nil)
        } catch {
            throw Self.failure(error, handle.inbox, plan, upstream)
        }
        while handle.inbox.answer == nil {
            if signal.isCancelled { return nil }
            let remaining = deadline - .now
            guard remaining > .zero else {
                throw UpstreamError(.unreachable, "no answer within \(plan.connectTimeout)")
            }
            do {
                try Self.step(&handle, signal: signal, timeout: remaining)
            } catch {
                throw Self.failure(error, handle.inbox, plan, upstream)
            }
        }
        guard let answer = handle.inbox.answer, answer.reason == 0 else {
            throw ReasonCode.refusal(handle.inbox.answer?.reason ?? 0, isVersion5: plan.version == .v5)
        }
        // With at_least_once that is a broken promise, and told as such.
        if let maximum = answer.maximumQoS, maximum < plan.qos, !plan.keepsSession {
            throw UpstreamError(.refused, "the broker takes QoS \(maximum) at most, and QoS \(plan.qos) is configured")
        }
        handle.stopListeningToLog()
        Self.limitSilence(of: handle.descriptor)
        return Connected(handle: handle, answer: answer)
    }

    private static func prepare(plan: ConversationPlan, usesTLS: Bool) throws(UpstreamError) -> MosquittoHandle {
        var handle: MosquittoHandle
        do {
            handle = try Self.makeHandle(plan)
        } catch {
            throw UpstreamError(.refused, "libmosquitto does not take the settings: \(error)")
        }
        guard usesTLS else { return handle }
        guard let authorities = plan.tls.authorities ?? Self.systemAuthorities else {
            throw UpstreamError(.untrusted, "the system has no bundle of authorities at a place we know; set tls.ca")
        }
        do {
            try handle.setTLS(authorities: authorities, certificate: plan.tls.certificate, key: plan.tls.key)
        } catch {
            let files = [authorities, plan.tls.certificate, plan.tls.key].compactMap { $0 }.joined(separator: ", ")
            throw UpstreamError(.untrusted, "cannot use the TLS files \(files): \(error)")
        }
        return handle
    }

    private static func makeHandle(_ plan: ConversationPlan) throws(MosquittoError) -> MosquittoHandle {
        var handle = try MosquittoHandle.make(
            clientID: plan.clientID, isCleanStart: !plan.keepsSession, isVersion5: plan.version == .v5)
        // mosquitto 2.0.11 sends more messages of QoS 2 than the receive maximum allows, which the library takes for a broken
        // protocol; unlimited, the broker's own limit holds.
        try handle.setLimits(egress: plan.window, ingress: plan.qos == 2 ? 65535 : Conversation.ingressLimit)
        if plan.username != nil || plan.password != nil {
            try handle.setCredentials(username: plan.username, password: plan.password)
        }
        return handle
    }

    private static func step(
        _ handle: inout MosquittoHandle, signal: WakeSignal, timeout: Duration
    ) throws(MosquittoError) {
        let ready = PollResult.wait(
            signal: signal, descriptor: handle.descriptor, events: handle.wantsWrite ? POLLIN | POLLOUT : POLLIN,
            timeout: timeout)
        if ready.isSignalled { signal.clear() }
        if ready.hasFailed, let error = Self.socketError(of: handle.descriptor) { throw error }
        if ready.isReadable { _ = try handle.read { $0.answer != nil } }
        if handle.inbox.answer == nil, ready.isWritable { try handle.write() }
        guard handle.inbox.answer == nil else { return }
        if handle.descriptor < 0 { throw MosquittoError(MosquittoError.Code.lost) }
        // Under TLS the library takes a refused connection for one that is not ready yet, and tries for ever without an error.
        if ready.hasHungUp { throw MosquittoError(MosquittoError.Code.noConnection) }
    }

    private static func socketError(of descriptor: Int32) -> MosquittoError? {
        var number: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        guard getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &number, &size) == 0, number != 0 else { return nil }
        errno = number
        return MosquittoError(MosquittoError.Code.system)
    }

    /// What a failed call says about the upstream, before the broker accepted us.
    private static func failure(
        _ error: MosquittoError, _ inbox: MosquittoInbox, _ plan: ConversationPlan, _ upstream: UpstreamURL
    ) -> UpstreamError {
        if let answer = inbox.answer, answer.reason != 0 {
            return ReasonCode.refusal(answer.reason, isVersion5: plan.version == .v5)
        }
        switch error.code {
        case MosquittoError.Code.tls, MosquittoError.Code.tlsHandshake:
            return UpstreamError(
                .untrusted, Self.distrust(inbox.complaints, upstream) + " (libmosquitto code \(error.code))")
        case MosquittoError.Code.lost where plan.version == .v5:
            return UpstreamError(
                .unreachable,
                "the broker closed the connection without an answer; if it does not speak MQTT 5, set version 3.1.1")
        case MosquittoError.Code.lost:
            return UpstreamError(.unreachable, "the broker closed the connection without an answer")
        case 2, 21:
            return UpstreamError(.protocolViolation, "\(error)")
        default:
            return UpstreamError(.unreachable, "\(error)")
        }
    }

    private static func distrust(_ complaints: [String], _ upstream: UpstreamURL) -> String {
        if complaints.contains(where: { $0.contains("host name verification failed") }) {
            return "the broker's certificate is not for the host \(upstream.host)"
        }
        if let problem = complaints.first(where: { !$0.contains("rror") }) {
            return "the broker's certificate is not trusted: \(problem)"
        }
        guard let last = complaints.first else { return "TLS failed" }
        // OpenSSL writes `error:0A00010B:SSL routines::wrong version number`; the last part is for people.
        return "TLS failed: " + (last.split(separator: ":").last.map(String.init) ?? last)
    }

    /// Data that the peer's kernel does not acknowledge for this long ends the connection (tcp(7), TCP_USER_TIMEOUT).
    private static func limitSilence(of descriptor: Int32) {
        var milliseconds = UInt32(Conversation.answerLimit.wholeMilliseconds)
        _ = setsockopt(
            descriptor, Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, &milliseconds, socklen_t(MemoryLayout<UInt32>.size))
    }

    /// libmosquitto 2.0.11 forgets `MOSQ_OPT_TLS_USE_OS_CERTS` at a reconnect, so it always gets a file.
    private static let systemAuthorities: String? = [
        "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem",
    ].first { access($0, R_OK) == 0 }
}
