public import LinkspanBridgeKit
internal import LinkspanCore

extension BlockDefinition {
    /// Everything that `bridges.yaml` may say, for these kinds of bridges.
    public static func linkspan(kinds: [any Bridge.Type]) -> BlockDefinition {
        BlockDefinition([
            KeyDefinition("version", .choice(["1"]), required: true, "Format of this file."),
            KeyDefinition("instance", .block(.instance), "Who this instance is."),
            KeyDefinition("server", .block(.server), "The port that clients connect to."),
            KeyDefinition(
                "permissions", .blocks(.permission), default: "[]",
                "Who may subscribe and publish where: the first that applies to a channel decides; where none does, everyone may."
            ),
            KeyDefinition("hooks", .map(.hook), "Services that answer clients over HTTP."),
            KeyDefinition("brokers", .map(.broker(kinds: kinds)), "Outside brokers, each named once."),
            KeyDefinition("bridges", .map(.bridge), "Which channels travel through which broker."),
        ])
    }

    private static let instance = BlockDefinition([
        KeyDefinition(
            "id", .text(.instanceID), default: "${HOSTNAME}",
            "Unique among all instances that share a broker; goes into every message."),
        KeyDefinition("site", .text(.free), "A label for people."),
    ])

    private static var server: BlockDefinition {
        let defaults = ServerSettings()
        return BlockDefinition([
            KeyDefinition("clients", .block(.clients), "Where clients connect."),
            KeyDefinition(
                "listeners", .map(.listener),
                "Further ports by name, for clients that need a protocol, codec or path of their own."
            ),
            KeyDefinition(
                "origins", .list(.origin), default: "[]", "Origins that browsers may come from; none listed admits all."
            ),
            KeyDefinition(
                "client_publish", .boolean, default: "\(defaults.allowsClientPublish)",
                "Whether clients may publish at all."),
            KeyDefinition(
                "strict_handshake", .boolean, default: "\(defaults.requiresHandshakeFirst)",
                "Whether anything before the handshake closes the connection (4009)."),
            KeyDefinition(
                "event_loops", .integer(1...1024), "Threads that serve clients; one per core when not given."),
            KeyDefinition(
                "io_uring", .boolean, default: "\(defaults.usesIOUring)",
                "Whether writes to many clients go to the kernel together, where it has io_uring."),
            KeyDefinition("tls", .block(.certificate), "Serves clients over TLS (wss)."),
            KeyDefinition("auth", .block(.auth), "How clients prove who they are."),
            KeyDefinition("operator", .block(.operatorPort), "Where operators look in; nowhere when not given."),
            KeyDefinition("data", .text(.filePath), "Folder for disk buffers."),
            KeyDefinition("timing", .block(.timing), "Time limits towards clients."),
            KeyDefinition("limits", .block(.limits), "Bounds that a client can meet."),
            KeyDefinition(
                "batching", .block(.batching), "Packets joined into arrays, for clients that read them."),
        ])
    }

    private static var clients: BlockDefinition {
        let defaults = ServerSettings()
        return BlockDefinition([
            KeyDefinition("host", .text(.hostName), default: defaults.host, "Address to listen on."),
            KeyDefinition(
                "port", .integer(0...65535), default: "\(defaults.port)", "TCP port; 0 lets the system choose."),
            KeyDefinition("path", .text(.urlPath), default: defaults.path, "Path of the WebSocket."),
            KeyDefinition(
                "protocol", .choice(ProtocolChoice.allCases.map(\.rawValue)), default: defaults.protocolChoice.rawValue,
                "SocketCluster protocol: 1 up to release 14, 2 from 15; auto finds out for each client."),
            KeyDefinition(
                "codec", .choice(CodecChoice.allCases.map(\.rawValue)), default: defaults.codec.rawValue,
                "How clients write messages: json, minbin (sc-codec-min-bin), or auto for both."),
            KeyDefinition(
                "tls", .boolean, default: "\(defaults.usesTLS)",
                "Whether clients connect over TLS, where server.tls is given."),
            KeyDefinition(
                "compression", .block(.compression),
                "permessage-deflate for clients that offer it; none when not given."),
        ])
    }

    private static var compression: BlockDefinition {
        let defaults = CompressionSettings()
        return BlockDefinition([
            KeyDefinition(
                "level", .integer(1...9), default: "\(defaults.level)", "Effort: 1 is the fastest, 9 the smallest."),
            KeyDefinition(
                "minimum", .size(0...(1 << 30)), default: Quantity.text(bytes: defaults.minimumBytes),
                "Messages from this size on are compressed."),
        ])
    }

    private static let certificate = BlockDefinition([
        KeyDefinition(
            "certificate", .text(.filePath),
            "File with our certificate (PEM), and those between it and an authority."),
        KeyDefinition("key", .text(.filePath), "File with its key (PEM), without a passphrase."),
    ])

    private static var operatorPort: BlockDefinition {
        let defaults = OperatorSettings(key: Secret(""))
        return BlockDefinition([
            KeyDefinition("host", .text(.hostName), default: defaults.host, "Address to listen on."),
            KeyDefinition(
                "port", .integer(0...65535), default: "\(defaults.port)", "TCP port; 0 lets the system choose."),
            KeyDefinition("key", .secret, "What requests have to show."),
        ])
    }

    private static var auth: BlockDefinition {
        let defaults = AuthSettings()
        return BlockDefinition([
            KeyDefinition("key", .secret, "Shared secret that signs and verifies tokens; for HS256, HS384 and HS512."),
            KeyDefinition(
                "private_key", .text(.filePath),
                "File with the key (PEM) that signs and verifies tokens, instead of `key`."),
            KeyDefinition("key_id", .text(.free), "The `kid` of tokens that are signed here."),
            KeyDefinition("keys", .map(.verifyKey), "Further keys that verify tokens."),
            KeyDefinition(
                "key_set", .text(.filePath), "File with a JSON Web Key Set; each of its keys verifies tokens."),
            KeyDefinition(
                "algorithms", .choices(TokenKeySource.algorithms),
                "Admitted algorithms; the first one signs. Not given, HS256 signs and whatever fits the keys verifies."),
            KeyDefinition(
                "expiry", .duration(.seconds(1) ... .seconds(3650 * 86_400)), default: Quantity.text(defaults.expiry),
                "Life of a token that says nothing of its own."),
            KeyDefinition(
                "anonymous", .choice(AnonymousAccess.allCases.map(\.rawValue)), default: defaults.anonymous.rawValue,
                "Whether a client without a valid token may connect (4008)."),
            KeyDefinition("audience", .text(.free), "What the `aud` of a token must contain."),
            KeyDefinition("issuer", .text(.free), "What the `iss` of a token must be."),
        ])
    }

    private static let verifyKey = BlockDefinition(
        noun: "key",
        [
            KeyDefinition("key", .secret, "Shared secret."),
            KeyDefinition("public_key", .text(.filePath), "File with a public key (PEM)."),
            KeyDefinition("id", .text(.free), "The `kid` of the tokens that it verifies; without one, any."),
        ])

    private static let permission = BlockDefinition([
        KeyDefinition(
            "channels", .list(.claimGlob), required: true,
            "Globs; {claim} is the value of a claim of the client's token."
        ),
        KeyDefinition("subscribe", .grant(Grant.words), required: true, "Who may subscribe."),
        KeyDefinition("publish", .grant(Grant.words), required: true, "Who may publish."),
    ])

    /// As `clients`, with a port that has to be said.
    private static var listener: BlockDefinition {
        let keys = Self.clients.keys.map { key in
            guard key.key == "port" else { return key }
            return KeyDefinition(key.key, key.kind, required: true, key.summary)
        }
        return BlockDefinition(noun: "listener", keys)
    }

    private static var timing: BlockDefinition {
        let defaults = TimingSettings()
        let range = Duration.milliseconds(10)...Duration.seconds(86_400)
        return BlockDefinition([
            KeyDefinition(
                "handshake_timeout", .duration(range), default: Quantity.text(defaults.handshakeTimeout),
                "Longest wait for a client's handshake (4005)."),
            KeyDefinition(
                "ping_interval", .duration(range), default: Quantity.text(defaults.pingInterval), "Time between pings."),
            KeyDefinition(
                "ping_timeout", .duration(range), default: Quantity.text(defaults.pingTimeout),
                "Longest silence of a client (4001)."),
            KeyDefinition(
                "ping_timeout_disabled", .boolean, default: "\(defaults.pingTimeoutDisabled)",
                "Send no pings, and close nobody for silence."),
            KeyDefinition(
                "receipt_timeout", .duration(range), default: Quantity.text(defaults.receiptTimeout),
                "Longest wait of a publish for what the ack of its bridges asks."),
            KeyDefinition(
                "ack_timeout", .duration(range), default: Quantity.text(defaults.ackTimeout),
                "Longest wait for a client's answer to a call."),
        ])
    }

    private static var batching: BlockDefinition {
        let defaults = BatchingSettings()
        let range = Duration.milliseconds(1)...Duration.seconds(10)
        return BlockDefinition([
            KeyDefinition(
                "on_handshake", .boolean, default: "\(defaults.onHandshake)",
                "Whether what follows a handshake is joined for a while; only clients in JavaScript read that."),
            KeyDefinition(
                "handshake_duration", .duration(.milliseconds(1) ... .seconds(60)),
                default: Quantity.text(defaults.handshakeDuration), "For how long."),
            KeyDefinition(
                "interval", .duration(range), default: Quantity.text(defaults.interval),
                "Longest wait of a packet for others."),
            KeyDefinition(
                "size", .size(128...(1 << 24)), default: Quantity.text(bytes: defaults.bytes),
                "An array that has grown to this leaves at once."),
            KeyDefinition(
                "subscribe_window", .duration(.zero ... .seconds(10)),
                default: Quantity.text(defaults.subscribeWindow),
                "Longest wait of an answer to a subscription of protocol 1 that asks for an array."),
        ])
    }

    private static var limits: BlockDefinition {
        let defaults = LimitSettings()
        return BlockDefinition([
            KeyDefinition(
                "connections", .integer(1...10_000_000), default: "\(defaults.connections)",
                "Open connections (HTTP 503)."),
            KeyDefinition(
                "channels_per_connection", .integer(1...1_000_000), default: "\(defaults.channelsPerConnection)",
                "Channels that one connection may subscribe to."),
            KeyDefinition(
                "channel_name", .size(1...65_535), default: Quantity.text(bytes: defaults.channelNameBytes),
                "Longest channel name."),
            KeyDefinition(
                "message", .size(128...(1 << 30)), default: Quantity.text(bytes: defaults.messageBytes),
                "Largest message from a client (1009)."),
            KeyDefinition(
                "outbound", .size(4096...(1 << 30)), default: Quantity.text(bytes: defaults.outboundBytes),
                "What may wait for one slow subscriber (4100)."),
            KeyDefinition(
                "json_depth", .integer(1...1000), default: "\(defaults.jsonDepth)", "Deepest nesting of a message."),
            KeyDefinition(
                "publishes_per_second", .integer(0...10_000_000), default: "\(defaults.publishesPerSecond)",
                "Publishes per connection; it is read no faster. 0 is unlimited."),
            KeyDefinition(
                "batch", .integer(1...1_000_000), default: "\(defaults.batchElements)",
                "Packets in one message of a client."),
        ])
    }

    private static func broker(kinds: [any Bridge.Type]) -> BlockDefinition {
        let options = Dictionary(
            kinds.map { kind in
                let block = BlockDefinition(kind.options.map(KeyDefinition.init))
                return (kind.kind, [KeyDefinition(kind.kind, .block(block), "Options of \(kind.kind).")])
            }, uniquingKeysWith: { first, _ in first })
        return BlockDefinition(
            noun: "broker", variants: Variants(selector: "type", keys: options),
            [
                KeyDefinition("type", .choice(options.keys.sorted()), required: true, "Kind of broker."),
                KeyDefinition("urls", .list(.free), required: true, "Where it is, in order of preference."),
                KeyDefinition("username", .text(.free), "User name at the broker."),
                KeyDefinition("password", .secret, "Password at the broker, from a file or the environment."),
                KeyDefinition("tls", .block(.tls), "Certificates, for URLs with TLS."),
            ])
    }

    private static let tls = BlockDefinition([
        KeyDefinition("ca", .text(.filePath), "Authorities to trust (PEM) instead of the system's."),
        KeyDefinition("certificate", .text(.filePath), "Our certificate (PEM), for brokers that ask for one."),
        KeyDefinition("key", .text(.filePath), "Key of our certificate (PEM)."),
    ])

    private static var bridge: BlockDefinition {
        let defaults = BridgeRule(name: "", upstream: "")
        return BlockDefinition(
            noun: "bridge",
            [
                KeyDefinition("broker", .text(.name), "One of `brokers`."),
                KeyDefinition(
                    "brokers", .list(.name),
                    "Several of `brokers`, of any type: each carries all messages, and second copies are dropped."),
                KeyDefinition(
                    "channels", .blockOrList(.channels, listKey: "include"), default: "[\"**\"]",
                    "Globs of the channels it carries."),
                KeyDefinition(
                    "direction", .choice(Direction.allCases.map(\.rawValue)), default: defaults.direction.rawValue,
                    "From the broker (in), to it (out), or both."),
                KeyDefinition(
                    "events", .choices(MirroredEvent.allCases.map(\.rawValue)), default: "[publish]",
                    "What is mirrored to the broker; subscribe and unsubscribe tell it who listens."),
                KeyDefinition("name", .text(.free), "Name of a channel at the broker, with {channel} in it."),
                KeyDefinition(
                    "guarantee", .choice(Guarantee.allCases.map(\.rawValue)), default: defaults.guarantee.rawValue,
                    "What is promised for each message."),
                KeyDefinition(
                    "promises", .choice(PromisePolicy.allCases.map(\.rawValue)), default: defaults.promises.rawValue,
                    "A broker that does not keep what the guarantee rests on is not used, or is used and told of."),
                KeyDefinition(
                    "interest", .choice(Interest.allCases.map(\.rawValue)), default: defaults.interest.rawValue,
                    "Subscribe at the broker while somebody listens here, or always; always with consume: one_of."),
                KeyDefinition(
                    "consume", .choice(Consumption.words), default: Consumption.words[0],
                    "Every instance gets what arrives, or one of those with the same group."),
                KeyDefinition(
                    "group", .text(.groupName), "Who shares what arrives with consume: one_of; the bridge's name."),
                KeyDefinition(
                    "linger", .duration(.zero ... .seconds(86_400)), default: Quantity.text(defaults.linger),
                    "How long a subscription at the broker outlives its last subscriber here."),
                KeyDefinition("buffer", .block(.buffer), "Where messages wait for the broker."),
                KeyDefinition(
                    "ack", .choice(AckLevel.allCases.map(\.rawValue)), default: defaults.ack.rawValue,
                    "What the answer to a publish waits for: the server, the buffer, or the broker's confirmation."),
                KeyDefinition("retry", .block(.retry), "Pauses between attempts to connect."),
                KeyDefinition(
                    "transit", .list(.name), default: "[]", "Bridges whose traffic this one may carry onward."),
                KeyDefinition(
                    "max_hops", .integer(1...64), default: "\(defaults.maximumHops)",
                    "Instances that a message may pass."),
                KeyDefinition("repair", .block(.repair), "Asks again for what did not come; off when not given."),
                KeyDefinition("probe", .block(.probe), "Signs of life that prove that messages pass."),
                KeyDefinition(
                    "required", .boolean, default: "\(defaults.isRequired)", "Whether readiness waits for it."),
            ])
    }

    private static let channels = BlockDefinition([
        KeyDefinition("include", .list(.glob), default: "[\"**\"]", "Channels that match one of these are carried,"),
        KeyDefinition("exclude", .list(.glob), default: "[]", "unless they match one of these."),
    ])

    private static var buffer: BlockDefinition {
        let defaults = BufferSettings()
        return BlockDefinition([
            KeyDefinition(
                "type", .choice(BufferType.allCases.map(\.rawValue)), default: defaults.type.rawValue,
                "Where it is: gone with the process, or in files below server.data that survive it."),
            KeyDefinition(
                "size", .size(4096...(1 << 40)), default: Quantity.text(bytes: defaults.sizeBytes),
                "In memory: payloads, and 64 bytes for each message; on disk: the files."),
            KeyDefinition(
                "messages", .integer(1...1_000_000_000), "Most messages; as many as `size` holds when not given."),
            KeyDefinition(
                "age", .duration(.milliseconds(10)...(.seconds(365 * 86_400))),
                "Older messages are dropped; kept when not given."),
            KeyDefinition(
                "when_full", .choice(OverflowPolicy.allCases.map(\.rawValue)), default: defaults.whenFull.rawValue,
                "Which message gives way; or block: publishers wait."),
            KeyDefinition(
                "sync", .choice(SyncRule.allCases.map(\.rawValue)), default: defaults.sync.rawValue,
                "When files are forced to the disk; this is for power failures, a crash loses nothing that was written."
            ),
            KeyDefinition(
                "sync_interval", .duration(.milliseconds(10) ... .seconds(3600)),
                default: Quantity.text(defaults.syncInterval), "How often, with sync: interval."),
        ])
    }

    private static var repair: BlockDefinition {
        let defaults = RepairSettings()
        return BlockDefinition([
            KeyDefinition(
                "window", .duration(.seconds(1) ... .seconds(3600)), default: Quantity.text(defaults.window),
                "How long what was sent is remembered, and what did not come is asked for."),
            KeyDefinition(
                "size", .size(65_536...(1 << 36)), default: Quantity.text(bytes: defaults.sizeBytes),
                "What is remembered: payloads, and 128 bytes for each message."),
            KeyDefinition(
                "hold", .duration(.zero ... .seconds(60)), default: Quantity.text(defaults.hold),
                "How long later messages of a channel wait for missing ones."),
        ])
    }

    private static var probe: BlockDefinition {
        let defaults = ProbeSettings()
        return BlockDefinition([
            KeyDefinition(
                "every", .duration(.zero ... .seconds(3600)), default: Quantity.text(defaults.every),
                "Time between probes; 0s sends and expects none."),
            KeyDefinition(
                "deadline", .duration(.milliseconds(100)...(.seconds(86_400))),
                default: Quantity.text(defaults.deadline),
                "So long without one that came back, the connection is begun anew."),
        ])
    }

    private static var retry: BlockDefinition {
        let defaults = BridgeRule(name: "", upstream: "")
        let range = Duration.milliseconds(10)...Duration.seconds(3600)
        return BlockDefinition([
            KeyDefinition(
                "initial", .duration(range), default: Quantity.text(defaults.retryInitial), "Shortest pause."),
            KeyDefinition("max", .duration(range), default: Quantity.text(defaults.retryMaximum), "Longest pause."),
            KeyDefinition(
                "return", .duration(range), default: Quantity.text(defaults.retryReturn),
                "Between looks, from a less preferred URL, whether a preferred one is back."),
        ])
    }
}
