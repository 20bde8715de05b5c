internal import LinkspanBridgeKit
internal import NIOCore

extension Conversation {
    var hasPending: Bool { self.pendingIndex < self.pending.count }

    var hasRoom: Bool { self.window.count < self.windowLimit && self.window.bytes < Self.batchByteLimit }

    /// Queues what there is to do, up to one batch of messages.
    func sendWork() throws(MosquittoError) {
        var count = 0
        while count < Self.batchLimit, self.hasRoom {
            if !self.hasPending {
                guard self.mayHaveWork else { break }
                self.takeWork()
                if !self.hasPending { break }
            }
            let next = self.pending[self.pendingIndex]
            self.pendingIndex += 1
            try self.publish(next)
            count += 1
        }
        self.queuedCount += count
        try self.sendRequests()
    }

    private func takeWork() {
        let limit = min(Self.batchLimit, self.windowLimit - self.window.count)
        let work = self.link.takeWork(upTo: limit)
        self.mayHaveWork = work.egress.count >= limit
        self.follow(work.interest)
        self.pending = work.egress
        self.pendingIndex = 0
    }

    private func publish(_ egress: EgressMessage) throws(MosquittoError) {
        guard Self.isTopic(egress.name) else { return self.link.refuse(egress.ticket, .badName) }
        do throws(MosquittoError) {
            var properties = MosquittoProperties()
            if self.plan.version == .v5 {
                try properties.addJSONContentType()
                if let header = egress.header, try !properties.add(header, &self.headerText) {
                    return self.link.refuse(egress.ticket, .rejected)
                }
            }
            // Brokers keep nothing of QoS 0 for sessions that are away, where it would take the place of messages.
            let isFleeting = egress.lifetime != nil
            let identifier = try self.handle.publish(
                topic: egress.name, payload: egress.payload, properties: properties,
                qos: isFleeting ? 0 : self.plan.qos, retains: self.plan.retains && !isFleeting)
            self.window.sent(
                .init(
                    identifier: identifier, ticket: egress.ticket, bytes: egress.payload.readableBytes, sentAt: self.now
                ))
        } catch {
            switch error.code {
            case MosquittoError.Code.invalid, MosquittoError.Code.malformedText:
                self.link.refuse(egress.ticket, .badName)
            case MosquittoError.Code.oversizedPacket, MosquittoError.Code.payloadSize:
                self.link.refuse(egress.ticket, .tooLarge)
            default:
                throw error
            }
        }
    }

    /// Reports what the library said about publishes since the last time.
    func reportPublished() throws(UpstreamError) {
        self.handle.inbox.exchangePublished(for: &self.answers)
        defer { self.answers.removeAll(keepingCapacity: true) }
        var postponed: String?
        for (identifier, reason) in self.answers {
            guard let ticket = self.window.settled(identifier) else { continue }
            let verdict = PublishVerdict(
                reason: reason, isLossAllowed: !self.plan.keepsSession, isMandatory: self.plan.isMandatory)
            switch verdict {
            case .taken: self.confirmed.append(ticket)
            case .refused(let refusal): self.link.refuse(ticket, refusal)
            case .later(let text): postponed = text
            }
        }
        self.reportConfirmed()
        if let postponed { throw UpstreamError(.stalled, "the broker does not take messages now: \(postponed)") }
    }

    private func reportConfirmed() {
        for range in self.confirmed.ranges { self.link.confirm(range) }
        self.confirmed.removeAll()
    }

    /// Whether brokers and the library take `name` as a topic: mosquitto drops the connection of who publishes one of more than 200
    /// separators, and a C string ends at U+0000.
    private static func isTopic(_ name: String) -> Bool {
        var separators = 0
        for byte in name.utf8 {
            if byte == 0 { return false }
            if byte == UInt8(ascii: "/") { separators += 1 }
        }
        return separators <= 200
    }
}
