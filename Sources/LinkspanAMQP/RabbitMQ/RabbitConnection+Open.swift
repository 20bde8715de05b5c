internal import CLinkspanRabbitMQ
internal import Glibc
internal import LinkspanBridgeKit

/// All that opening a connection needs.
struct ConnectionPlan: Sendable {
    var upstream: UpstreamURL
    var username: String?
    var password: Secret?
    var tls: TLSFiles
    var options: AMQPOptions
    /// Shown by the upstream's management, such as `linkspan fra-1 audit publish`.
    var connectionName: String

    var isTLS: Bool { self.upstream.scheme == "amqps" }
    /// `/` unless the URL says otherwise, as in RabbitMQ.
    var virtualHost: String { self.upstream.path.flatMap { $0.isEmpty ? nil : $0 } ?? "/" }
}

extension RabbitConnection {
    /// Connects and logs in, with the channel for messages open.
    ///
    /// - Returns: nil when `signal` was cancelled.
    static func open(
        _ plan: ConnectionPlan, signal: WakeSignal, control: LinkControl
    ) throws(UpstreamError) -> RabbitConnection? {
        guard let raw = amqp_new_connection() else {
            preconditionFailure("amqp_new_connection failed: the process is out of memory")
        }
        var isOwned = true
        defer { if isOwned { amqp_destroy_connection(raw) } }

        var limit = plan.options.connectTimeout.timeval
        amqp_set_handshake_timeout(raw, &limit)
        amqp_set_rpc_timeout(raw, &limit)
        if plan.isTLS {
            try Self.connectTLS(raw, plan, &limit)
        } else {
            guard let socket = amqp_tcp_socket_new(raw) else {
                preconditionFailure("amqp_tcp_socket_new failed: the process is out of memory")
            }
            let descriptor = try Dial.connect(
                host: plan.upstream.host, port: plan.upstream.port, within: plan.options.connectTimeout, signal: signal)
            guard let descriptor else { return nil }
            amqp_tcp_socket_set_sockfd(socket, descriptor)
        }
        if signal.isCancelled { return nil }
        control.attach(amqp_get_sockfd(raw))
        try Self.logIn(raw, plan)
        isOwned = false
        var connection = RabbitConnection(loggedIn: raw, isEncrypted: plan.isTLS)
        do throws(RabbitFailure) {
            try connection.openChannel(Self.channel)
        } catch {
            throw error.asUpstreamError("opening a channel")
        }
        return connection
    }

    private static func connectTLS(
        _ raw: amqp_connection_state_t, _ plan: ConnectionPlan, _ limit: inout timeval
    ) throws(UpstreamError) {
        guard let socket = amqp_ssl_socket_new(raw) else {
            throw UpstreamError(.untrusted, "preparing TLS: OpenSSL could not be initialised")
        }
        amqp_ssl_socket_set_verify_peer(socket, 1)
        amqp_ssl_socket_set_verify_hostname(socket, 1)
        try Self.check(amqp_ssl_socket_set_ssl_versions(socket, AMQP_TLSv1_2, AMQP_TLSvLATEST), "requiring TLS 1.2")
        guard let authorities = plan.tls.authorities ?? Self.systemAuthorities() else {
            throw UpstreamError(.untrusted, "preparing TLS: no authorities are configured and the system has none")
        }
        guard amqp_ssl_socket_set_cacert(socket, authorities) == AMQP_STATUS_OK.rawValue else {
            throw UpstreamError(.untrusted, "preparing TLS: \(authorities) is not a readable PEM file of authorities")
        }
        if let certificate = plan.tls.certificate, let key = plan.tls.key,
            amqp_ssl_socket_set_key(socket, certificate, key) != AMQP_STATUS_OK.rawValue
        {
            throw UpstreamError(
                .untrusted, "preparing TLS: \(certificate) and \(key) are not a readable PEM certificate and its key")
        }
        let status = amqp_socket_open_noblock(socket, plan.upstream.host, Int32(plan.upstream.port), &limit)
        guard status == AMQP_STATUS_OK.rawValue else { throw Self.explain(tls: status, host: plan.upstream.host) }
    }

    private static func explain(tls status: Int32, host: String) -> UpstreamError {
        let text = UpstreamError.text(of: status)
        switch amqp_status_enum(rawValue: status) {
        case AMQP_STATUS_SSL_HOSTNAME_VERIFY_FAILED:
            var address = in6_addr()
            let isAddress = inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1
            return UpstreamError(
                .untrusted,
                "the upstream's certificate is not for \(host): \(text)"
                    + (isAddress
                        ? "; this librabbitmq compares DNS names only, so connect by name instead of address" : ""))
        case AMQP_STATUS_SSL_PEER_VERIFY_FAILED, AMQP_STATUS_SSL_CONNECTION_FAILED, AMQP_STATUS_SSL_ERROR:
            return UpstreamError(
                .untrusted, "TLS handshake: the certificate is not trusted, or TLS is not spoken: \(text)")
        default:
            return UpstreamError(.unreachable, "connecting: \(text)")
        }
    }

    /// Where OpenSSL looks by its environment, or where Debian, Red Hat and Alpine keep their bundle.
    private static func systemAuthorities() -> String? {
        let configured = getenv("SSL_CERT_FILE").map { String(cString: $0) }
        let usual = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"]
        return ([configured].compactMap { $0 } + usual).first { access($0, R_OK) == 0 }
    }

    private static func logIn(_ raw: amqp_connection_state_t, _ plan: ConnectionPlan) throws(UpstreamError) {
        let reply = plan.connectionName.withAMQPBytes { name in
            Self.withClientProperties(name) { properties in
                let heartbeat = Int32(plan.options.heartbeat.components.seconds)
                let frameLimit = Int32(plan.options.frameLimit)
                if plan.password == nil, plan.tls.certificate != nil {
                    // The library refuses an empty identity; RabbitMQ takes the user's name from the certificate in any case.
                    return linkspan_amqp_login_external(
                        raw, plan.virtualHost, 0, frameLimit, heartbeat, &properties, plan.username ?? "linkspan")
                }
                // The account that RabbitMQ brings, which it accepts from the same machine only.
                return linkspan_amqp_login_plain(
                    raw, plan.virtualHost, 0, frameLimit, heartbeat, &properties, plan.username ?? "guest",
                    plan.password?.value ?? (plan.username == nil ? "guest" : ""))
            }
        }
        do throws(RabbitFailure) {
            try Self.check(reply, "logging in")
        } catch {
            throw error.asUpstreamError("logging in")
        }
    }

    /// What a client must announce to be told of blocked connections, cancelled consumers and failed log-ins.
    private static func withClientProperties<Result>(
        _ name: amqp_bytes_t, _ body: (inout amqp_table_t) -> Result
    ) -> Result {
        let announced: [StaticString] = [
            "authentication_failure_close", "basic.nack", "connection.blocked", "consumer_cancel_notify",
            "publisher_confirms",
        ]
        var capabilities = announced.map { key in
            var value = amqp_field_value_t()
            value.kind = UInt8(AMQP_FIELD_KIND_BOOLEAN.rawValue)
            value.value.boolean = 1
            return amqp_table_entry_t(key: amqp_bytes_t(key), value: value)
        }
        return capabilities.withUnsafeMutableBufferPointer { capabilities in
            var value = amqp_field_value_t()
            value.kind = UInt8(AMQP_FIELD_KIND_TABLE.rawValue)
            value.value.table = amqp_table_t(num_entries: Int32(capabilities.count), entries: capabilities.baseAddress)
            var entries = [
                Self.entry("product", text: amqp_bytes_t("Linkspan")),
                Self.entry("connection_name", text: name),
                amqp_table_entry_t(key: amqp_bytes_t("capabilities"), value: value),
            ]
            return entries.withUnsafeMutableBufferPointer { entries in
                var table = amqp_table_t(num_entries: Int32(entries.count), entries: entries.baseAddress)
                return body(&table)
            }
        }
    }

    /// Product and version, such as `RabbitMQ 3.10.8`.
    var product: String? {
        guard let properties = amqp_get_server_properties(self.raw) else { return nil }
        let entries = UnsafeBufferPointer(start: properties.pointee.entries, count: Int(properties.pointee.num_entries))
        func text(_ key: StaticString) -> String? {
            entries.first { $0.key.equals(key) && Int32($0.value.kind) == Int32(AMQP_FIELD_KIND_UTF8.rawValue) }?
                .value.value.bytes.string
        }
        guard let product = text("product") else { return nil }
        return text("version").map { "\(product) \($0)" } ?? product
    }
}
