internal import LinkspanBridgeKit
internal import LinkspanCore

/// Turns checked blocks into settings, and checks what one value alone does not show: references, URLs, templates, promises.
struct SettingsReader {
    let kinds: [String: any Bridge.Type]
    /// Used when the file gives no instance id.
    let hostName: String

    /// Reads the files that keys are in.
    let readFile: @Sendable (String) throws(FileProblem) -> String
    let problemOfKey: @Sendable (_ key: TokenKey, _ algorithms: [String]) -> String?
    let problemOfCertificate:
        @Sendable (_ certificate: String, _ key: String) -> ConfigurationLoader.CertificateProblem?

    private(set) var diagnostics: [Diagnostic] = []

    init(
        kinds: [any Bridge.Type], hostName: String,
        readFile: @escaping @Sendable (String) throws(FileProblem) -> String,
        problemOfKey: @escaping @Sendable (_ key: TokenKey, _ algorithms: [String]) -> String?,
        problemOfCertificate:
            @escaping @Sendable (_ certificate: String, _ key: String) -> ConfigurationLoader.CertificateProblem?
    ) {
        self.kinds = Dictionary(kinds.map { ($0.kind, $0) }, uniquingKeysWith: { first, _ in first })
        self.hostName = hostName
        self.readFile = readFile
        self.problemOfKey = problemOfKey
        self.problemOfCertificate = problemOfCertificate
    }

    /// Complete only when no error was reported.
    mutating func settings(from root: ConfigBlock) -> LinkspanSettings? {
        let instance = self.instance(from: root.block("instance"))
        let brokers = root.map("brokers")
        var upstreams: [String: UpstreamSettings] = [:]
        for broker in brokers {
            upstreams[broker.path.last] = self.upstream(from: broker)
        }
        let blocks = root.map("bridges")
        var rules = blocks.flatMap { self.rules(from: $0, brokers: brokers, bridgeNames: blocks.map(\.path.last)) }
        let links = Dictionary(grouping: rules, by: \.declaration).mapValues { $0.map(\.name) }
        for index in rules.indices { rules[index].transit = rules[index].transit.flatMap { links[$0] ?? [] } }
        var server = Self.server(from: root.block("server"))
        server.auth = self.auth(from: root.block("server").block("auth"))
        server.hooks = self.hooks(
            from: root.map("hooks"), auth: root.block("server").block("auth"),
            handshakeTimeout: server.timing.handshakeTimeout)
        server.permissions = self.permissions(
            from: root.map("permissions"), auth: root.block("server").block("auth"), hooks: server.hooks)
        server.certificate = self.certificate(from: root.block("server"))
        server.operatorPort = self.operatorPort(from: root.block("server"))
        guard let instance else { return nil }
        return LinkspanSettings(instance: instance, server: server, upstreams: upstreams, bridges: rules)
    }

    mutating func report(
        _ location: SourceLocation, _ message: String, hint: String? = nil, severity: Diagnostic.Severity = .error
    ) {
        self.diagnostics.append(Diagnostic(severity, at: location, message, hint: hint))
    }

    // MARK: Instance

    private mutating func instance(from block: ConfigBlock) -> InstanceSettings? {
        if let id = block.text("id").flatMap(InstanceID.init) {
            return InstanceSettings(id: id, site: block.text("site"))
        }
        if let id = Self.instanceID(fromHostName: self.hostName) {
            return InstanceSettings(id: id, site: block.text("site"))
        }
        self.report(block.location, "instance.id is missing, and the host has no name to take it from")
        return nil
    }

    private static func instanceID(fromHostName name: String) -> InstanceID? {
        InstanceID(String(name.prefix(64)))
    }

    // MARK: Server

    private static func server(from block: ConfigBlock) -> ServerSettings {
        var settings = ServerSettings()
        let clients = block.block("clients")
        settings.host = clients.text("host") ?? settings.host
        settings.port = clients.integer("port") ?? settings.port
        settings.path = clients.text("path") ?? settings.path
        settings.protocolChoice = clients.choice("protocol") ?? settings.protocolChoice
        settings.codec = clients.choice("codec") ?? settings.codec
        settings.usesTLS = clients.boolean("tls") ?? settings.usesTLS
        settings.compression = Self.compression(from: clients)
        settings.moreListeners = block.map("listeners").map(Self.listener)
        settings.eventLoops = block.integer("event_loops")
        settings.usesIOUring = block.boolean("io_uring") ?? settings.usesIOUring
        settings.dataFolder = block.text("data")
        settings.origins = block.list("origins")?.map(\.value) ?? settings.origins
        settings.allowsClientPublish = block.boolean("client_publish") ?? settings.allowsClientPublish
        settings.requiresHandshakeFirst = block.boolean("strict_handshake") ?? settings.requiresHandshakeFirst
        settings.timing = Self.timing(from: block.block("timing"))
        settings.limits = Self.limits(from: block.block("limits"))
        settings.batching = Self.batching(from: block.block("batching"))
        return settings
    }

    private static func listener(from block: ConfigBlock) -> ListenerSettings {
        var listener = ListenerSettings(port: block.integer("port") ?? ServerSettings().port)
        listener.host = block.text("host") ?? listener.host
        listener.path = block.text("path") ?? listener.path
        listener.protocolChoice = block.choice("protocol") ?? listener.protocolChoice
        listener.codec = block.choice("codec") ?? listener.codec
        listener.usesTLS = block.boolean("tls") ?? listener.usesTLS
        listener.compression = Self.compression(from: block)
        return listener
    }

    /// Nil when nothing is said about it.
    private static func compression(from listener: ConfigBlock) -> CompressionSettings? {
        let block = listener.block("compression")
        guard listener.written.contains("compression") || ["level", "minimum"].contains(where: block.has) else {
            return nil
        }
        var settings = CompressionSettings()
        settings.level = block.integer("level") ?? settings.level
        settings.minimumBytes = block.size("minimum") ?? settings.minimumBytes
        return settings
    }

    private static func timing(from block: ConfigBlock) -> TimingSettings {
        var settings = TimingSettings()
        settings.handshakeTimeout = block.duration("handshake_timeout") ?? settings.handshakeTimeout
        settings.pingInterval = block.duration("ping_interval") ?? settings.pingInterval
        settings.pingTimeout = block.duration("ping_timeout") ?? settings.pingTimeout
        settings.pingTimeoutDisabled = block.boolean("ping_timeout_disabled") ?? settings.pingTimeoutDisabled
        settings.receiptTimeout = block.duration("receipt_timeout") ?? settings.receiptTimeout
        settings.ackTimeout = block.duration("ack_timeout") ?? settings.ackTimeout
        return settings
    }

    private static func batching(from block: ConfigBlock) -> BatchingSettings {
        var settings = BatchingSettings()
        settings.onHandshake = block.boolean("on_handshake") ?? settings.onHandshake
        settings.handshakeDuration = block.duration("handshake_duration") ?? settings.handshakeDuration
        settings.interval = block.duration("interval") ?? settings.interval
        settings.bytes = block.size("size") ?? settings.bytes
        settings.subscribeWindow = block.duration("subscribe_window") ?? settings.subscribeWindow
        return settings
    }

    private static func limits(from block: ConfigBlock) -> LimitSettings {
        var settings = LimitSettings()
        settings.connections = block.integer("connections") ?? settings.connections
        settings.channelsPerConnection = block.integer("channels_per_connection") ?? settings.channelsPerConnection
        settings.channelNameBytes = block.size("channel_name") ?? settings.channelNameBytes
        settings.messageBytes = block.size("message") ?? settings.messageBytes
        settings.outboundBytes = block.size("outbound") ?? settings.outboundBytes
        settings.jsonDepth = block.integer("json_depth") ?? settings.jsonDepth
        settings.publishesPerSecond = block.integer("publishes_per_second") ?? settings.publishesPerSecond
        settings.batchElements = block.integer("batch") ?? settings.batchElements
        return settings
    }

    // MARK: Brokers

    /// Nil when its kind or one of its URLs is not known; that is reported.
    private mutating func upstream(from block: ConfigBlock) -> UpstreamSettings? {
        guard let type = block.text("type"), let kind = self.kinds[type], let list = block.list("urls") else {
            return nil
        }
        if list.isEmpty {
            self.report(block.location(of: "urls"), "\(block.path.label): urls has no URL")
        }
        let urls = list.compactMap { self.url($0, of: kind, in: block) }
        self.checkCertificates(in: block)
        return UpstreamSettings(
            type: type, urls: urls, username: block.text("username"), password: block.text("password").map(Secret.init),
            tls: Self.tls(from: block.block("tls")), options: Self.options(of: kind, from: block.block(type)),
            optionsPath: block.path.appending(type).dotted)
    }

    private mutating func url(_ text: Located<String>, of kind: any Bridge.Type, in block: ConfigBlock) -> UpstreamURL?
    {
        do throws(ScalarProblem) {
            return try UpstreamURLReading.url(text.value, kind: kind.kind, schemes: kind.schemes)
        } catch {
            self.report(text.location, "\(block.path.label): \(error.message)", hint: error.hint)
            return nil
        }
    }

    private mutating func checkCertificates(in block: ConfigBlock) {
        let tls = block.block("tls")
        switch (tls.text("certificate"), tls.text("key")) {
        case (.some, nil):
            self.report(tls.location(of: "certificate"), "\(block.path.label): tls.certificate without tls.key")
        case (nil, .some):
            self.report(tls.location(of: "key"), "\(block.path.label): tls.key without tls.certificate")
        case (nil, nil), (.some, .some):
            break
        }
    }

    private static func tls(from block: ConfigBlock) -> TLSFiles {
        TLSFiles(authorities: block.text("ca"), certificate: block.text("certificate"), key: block.text("key"))
    }

    /// Given and default values of every option of the kind.
    private static func options(of kind: any Bridge.Type, from block: ConfigBlock) -> [String: OptionValue] {
        var values: [String: OptionValue] = [:]
        for option in kind.options {
            values[option.key] = block.values[option.key].flatMap { Self.option($0.value) } ?? option.defaultValue
        }
        return values
    }

    private static func option(_ value: ConfigValue) -> OptionValue? {
        switch value {
        case .text(let text): .text(text)
        case .boolean(let value): .boolean(value)
        case .integer(let value): .integer(value)
        case .duration(let value): .duration(value)
        case .size(let value): .size(value)
        case .list, .grant, .block, .map: nil
        }
    }

    // MARK: Bridges

    /// One rule for each broker that the bridge has.
    private mutating func rules(
        from block: ConfigBlock, brokers: [ConfigBlock], bridgeNames: [String]
    ) -> [BridgeRule] {
        let names = self.brokerNames(of: block)
        let rule = self.rule(from: block, brokers: names, bridgeNames: bridgeNames)
        for name in names { self.checkBroker(name, of: rule, in: block, brokers: brokers) }
        guard block.list("brokers") != nil, block.text("broker") == nil else {
            return names.map { name in
                var rule = rule
                rule.upstream = name.value
                return rule
            }
        }
        return names.map { rule.link(to: $0.value) }
    }

    /// What `broker` or `brokers` names, each once.
    private mutating func brokerNames(of block: ConfigBlock) -> [Located<String>] {
        let hint = "broker names one, brokers several that all carry the same messages"
        switch (block.values["broker"], block.list("brokers")) {
        case (.some, .some):
            self.report(block.location(of: "brokers"), "\(block.path.label): both broker and brokers", hint: hint)
        case (let broker?, nil):
            return block.text("broker").map { [Located(value: $0, location: broker.location)] } ?? []
        case (nil, let names?):
            if names.isEmpty {
                self.report(block.location(of: "brokers"), "\(block.path.label): brokers names none")
            }
            var seen: Set<String> = []
            for name in names where !seen.insert(name.value).inserted {
                self.report(
                    name.location, "\(block.path.label): brokers names \(ScalarText.shown(name.value)) twice")
            }
            return names
        case (nil, nil):
            guard !block.written.contains("broker"), !block.written.contains("brokers") else { break }
            self.report(block.location, "\(block.path.label): broker is missing", hint: hint)
        }
        return []
    }

    private mutating func rule(
        from block: ConfigBlock, brokers: [Located<String>], bridgeNames: [String]
    ) -> BridgeRule {
        var rule = BridgeRule(name: block.path.last, upstream: brokers.first?.value ?? "")
        let channels = block.block("channels")
        rule.include = channels.list("include")?.map(\.value) ?? rule.include
        rule.exclude = channels.list("exclude")?.map(\.value) ?? rule.exclude
        rule.direction = block.choice("direction") ?? rule.direction
        rule.events =
            block.list("events").map { Set($0.compactMap { MirroredEvent(rawValue: $0.value) }) } ?? rule.events
        rule.nameTemplate = block.text("name")
        rule.guarantee = block.choice("guarantee") ?? rule.guarantee
        rule.promises = block.choice("promises") ?? rule.promises
        rule.consumption = self.consumption(of: rule, in: block)
        rule.interest = block.choice("interest") ?? (rule.group == nil ? rule.interest : .always)
        rule.linger = block.duration("linger") ?? rule.linger
        rule.transit = block.list("transit")?.map(\.value) ?? rule.transit
        rule.maximumHops = block.integer("max_hops") ?? rule.maximumHops
        rule.ack = block.choice("ack") ?? rule.ack
        rule.isRequired = block.boolean("required") ?? rule.isRequired
        rule.buffer = Self.buffer(from: block.block("buffer"))
        rule.repair = self.repair(of: block)
        rule.probe = self.probe(from: block.block("probe"), of: block)
        rule.retryInitial = block.block("retry").duration("initial") ?? rule.retryInitial
        rule.retryReturn = block.block("retry").duration("return") ?? rule.retryReturn
        rule.retryMaximum = block.block("retry").duration("max") ?? max(rule.retryMaximum, rule.retryInitial)
        self.check(rule, in: block, bridgeNames: bridgeNames)
        return rule
    }

    private mutating func consumption(of rule: BridgeRule, in block: ConfigBlock) -> Consumption {
        let group = block.text("group")
        guard block.text("consume") == Consumption.words[1] else {
            if group != nil {
                self.report(
                    block.location(of: "group"), "\(block.path.label): group without consume: one_of",
                    hint: "without it every instance gets everything")
            }
            return .all
        }
        return .oneOf(group: group ?? rule.declaration)
    }

    private mutating func repair(of bridge: ConfigBlock) -> RepairSettings? {
        let block = bridge.block("repair")
        guard bridge.written.contains("repair") || ["window", "size", "hold"].contains(where: block.has) else {
            return nil
        }
        var settings = RepairSettings()
        settings.window = block.duration("window") ?? settings.window
        settings.sizeBytes = block.size("size") ?? settings.sizeBytes
        settings.hold = block.duration("hold") ?? settings.hold
        if settings.hold >= settings.window {
            self.report(
                block.location(of: "hold"), "\(bridge.path.label): repair.hold is not shorter than repair.window",
                hint: "what is no longer remembered is not worth waiting for")
        }
        return settings
    }

    private mutating func probe(from block: ConfigBlock, of bridge: ConfigBlock) -> ProbeSettings? {
        let defaults = ProbeSettings()
        let every = block.duration("every") ?? defaults.every
        guard every > .zero else { return nil }
        let deadline = block.duration("deadline") ?? max(defaults.deadline, every * 3)
        if deadline < every * 2 {
            self.report(
                block.location(of: "deadline"),
                "\(bridge.path.label): probe.deadline is shorter than two times probe.every",
                hint: "one probe that is late would end the connection")
        }
        return ProbeSettings(every: every, deadline: deadline)
    }

    private static func buffer(from block: ConfigBlock) -> BufferSettings {
        var settings = BufferSettings()
        settings.sizeBytes = block.size("size") ?? settings.sizeBytes
        settings.type = block.choice("type") ?? settings.type
        settings.sync = block.choice("sync") ?? settings.sync
        settings.syncInterval = block.duration("sync_interval") ?? settings.syncInterval
        settings.messages = block.integer("messages")
        settings.age = block.duration("age")
        settings.whenFull = block.choice("when_full") ?? settings.whenFull
        return settings
    }

    private mutating func check(_ rule: BridgeRule, in block: ConfigBlock, bridgeNames: [String]) {
        if rule.include.isEmpty {
            self.report(
                block.location(of: "channels"), "\(block.path.label): channels has no glob",
                hint: "write [\"**\"] for all channels")
        }
        if rule.retryInitial > rule.retryMaximum {
            self.report(
                block.block("retry").location(of: "initial"),
                "\(block.path.label): retry.initial is longer than retry.max")
        }
        self.checkSync(of: rule, in: block.block("buffer"))
        self.checkDirection(of: rule, in: block)
        for name in block.list("transit") ?? [] where !bridgeNames.contains(name.value) || name.value == rule.name {
            let reason =
                name.value == rule.name ? "names the bridge itself" : "names no bridge: \(ScalarText.shown(name.value))"
            self.report(
                name.location, "\(block.path.label): transit \(reason)",
                hint: name.value == rule.name ? nil : Self.known(bridgeNames, near: name.value)
            )
        }
    }

    private mutating func checkBroker(
        _ name: Located<String>, of rule: BridgeRule, in block: ConfigBlock, brokers: [ConfigBlock]
    ) {
        guard let broker = brokers.first(where: { $0.path.last == name.value }) else {
            self.report(
                name.location, "\(block.path.label): unknown broker \(ScalarText.shown(name.value))",
                hint: Self.known(brokers.map(\.path.last), near: name.value))
            return
        }
        if let kind = broker.text("type").flatMap({ self.kinds[$0] }) {
            self.checkTemplate(of: rule, in: block, kind: kind)
        }
    }

    private mutating func checkSync(of rule: BridgeRule, in block: ConfigBlock) {
        for key in ["sync", "sync_interval"] where block.values[key] != nil && rule.buffer.type == .memory {
            self.report(
                block.location(of: key), "\(block.path.label).\(key) is for a buffer on disk",
                hint: "write type: disk, or leave it out")
        }
        if block.values["sync_interval"] != nil, rule.buffer.type == .disk, rule.buffer.sync != .interval {
            self.report(
                block.location(of: "sync_interval"), "\(block.path.label).sync_interval is for sync: interval")
        }
    }

    private mutating func checkDirection(of rule: BridgeRule, in block: ConfigBlock) {
        if rule.direction == .egress, block.values["interest"] != nil, rule.interest == .always {
            self.report(
                block.location(of: "interest"),
                "\(block.path.label): interest always receives everything, and direction out receives nothing",
                hint: "choose direction both or in, or leave out interest")
        }
        if rule.direction == .ingress, !rule.transit.isEmpty {
            self.report(
                block.location(of: "transit"),
                "\(block.path.label): transit carries messages to the broker, and direction in sends nothing",
                hint: "choose direction both or out, or leave out transit")
        }
    }

    private mutating func checkTemplate(of rule: BridgeRule, in block: ConfigBlock, kind: any Bridge.Type) {
        guard let template = rule.nameTemplate else { return }
        do {
            _ = try NameTemplate(template, rules: kind.nameRules)
        } catch {
            self.report(
                block.location(of: "name"), "\(block.path.label): bad name \(ScalarText.shown(template)): \(error)")
        }
    }

    private static func known(_ names: [String], near word: String) -> String {
        guard !names.isEmpty else { return "none is declared" }
        let nearest = Suggestion.nearest(to: word, in: names).map { "did you mean \"\($0)\"?  " } ?? ""
        return "\(nearest)known: \(names.sorted().joined(separator: ", "))"
    }
}

extension OptionDeclaration {
    /// The default as a value; nil when a bridge declares one that its own kind does not admit.
    var defaultValue: OptionValue? {
        switch self.kind {
        case .text, .choice: .text(self.defaultText)
        case .boolean: Bool(self.defaultText).map(OptionValue.boolean)
        case .integer: Int(self.defaultText).map(OptionValue.integer)
        case .duration: Quantity.duration(self.defaultText).map(OptionValue.duration)
        case .size: Quantity.size(self.defaultText).map(OptionValue.size)
        }
    }
}
