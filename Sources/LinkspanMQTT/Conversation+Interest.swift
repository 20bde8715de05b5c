internal import CLinkspanMosquitto
internal import LinkspanBridgeKit

extension Conversation {
    /// Takes over changes of interest; the packets leave with ``sendRequests()``.
    func follow(_ interest: [InterestChange]) {
        var settled: [SettledFilter] = []
        let changes = self.filters.apply(interest, settled: &settled)
        // Where two filters match for a moment, a raw message may come twice; where none does, it is lost.
        if self.plan.keepsSession {
            self.requests.add(.subscribe, changes.subscribe)
            self.requests.add(.unsubscribe, changes.unsubscribe)
        } else {
            self.requests.add(.unsubscribe, changes.unsubscribe)
            self.requests.add(.subscribe, changes.subscribe)
        }
        self.requests.add(.unsubscribe, self.strangers.left(beside: self.filters.active))
        self.requests.add(
            .unsubscribeUnshared, self.strangers.unshared(changes.subscribe.filter { self.plan.isShared($0) }))
        self.report(settled)
    }

    func sendRequests() throws(MosquittoError) {
        while let (kind, topics) = self.requests.next() {
            do throws(MosquittoError) {
                let identifier =
                    switch kind {
                    case .subscribe:
                        try self.handle.subscribe(
                            topics.map(self.plan.subscription), qos: self.plan.qos, options: Self.subscribeOptions)
                    case .unsubscribe:
                        try self.handle.unsubscribe(topics.map(self.plan.subscription))
                    case .unsubscribeUnshared:
                        try self.handle.unsubscribe(topics)
                    }
                self.requests.sent(identifier, .init(kind: kind, topics: topics, sentAt: self.now))
            } catch {
                switch error.code {
                case MosquittoError.Code.invalid, MosquittoError.Code.malformedText,
                    MosquittoError.Code.oversizedPacket:
                    for topic in topics { self.report(self.filters.answered(topic, isAccepted: false)) }
                default:
                    throw error
                }
            }
        }
    }

    /// Reports what the broker said about subscriptions since the last time.
    func takeAnswers() {
        for identifier in self.handle.inbox.takeUnsubscribed() { _ = self.requests.answered(identifier) }
        for (identifier, granted) in self.handle.inbox.takeSubscribed() {
            guard let request = self.requests.answered(identifier) else { continue }
            for (index, topic) in request.topics.enumerated() {
                let code = index < granted.count ? granted[index] : 0x80
                // Granted below QoS 1, a kept session would lose what arrives while we are away.
                let isAccepted = code < 0x80 && (!self.plan.keepsSession || code >= 1)
                if code < 0x80, let news = self.promises.granted(code, to: topic.text) { self.link.noted(news) }
                self.report(self.filters.answered(topic, isAccepted: isAccepted))
            }
        }
    }

    private func report(_ settled: [SettledFilter]) {
        for one in settled { self.link.interestSettled(one.filter, accepted: one.isAccepted) }
    }

    /// Retained messages are not sent at a subscription: they would come again at each reconnect. No Local stays off: our own messages are
    /// recognised by their origin, and probes must come back.
    private static var subscribeOptions: Int32 {
        Int32(MQTT_SUB_OPT_SEND_RETAIN_NEVER.rawValue | MQTT_SUB_OPT_RETAIN_AS_PUBLISHED.rawValue)
    }
}

/// Finds filters that a kept session at the broker still holds although nobody wants them any more.
///
/// Those that an earlier conversation of this process had are known. Those of an earlier process show when they bring a message: all our
/// filters are names or prefixes, so the few that can have matched its topic are removed together.
struct SessionStrangers {
    /// Most topics remembered as dealt with; past it, strangers are left alone and the host refuses what they bring.
    static let limit = 1024

    private var isResumed = false
    private var kept: Set<Topic> = []
    private var seen: Set<Topic> = []

    mutating func sessionResumed(keeping filters: Set<Topic>) {
        self.isResumed = true
        self.kept = filters
    }

    /// The filters to remove once the interest is known: those kept from before, without the `active` ones.
    mutating func left(beside active: Set<Topic>) -> [Topic] {
        guard !self.kept.isEmpty else { return [] }
        let left = Array(self.kept.subtracting(active))
        self.kept = []
        return left
    }

    /// The filters to remove as well where an earlier process may have had them without a group: each would bring everything.
    func unshared(_ filters: [Topic]) -> [Topic] {
        self.isResumed ? filters : []
    }

    /// What the session holds as far as we know, for the next conversation.
    func keptFilters(beside active: Set<Topic>) -> Set<Topic> {
        self.kept.union(active)
    }

    /// The filters to remove because one of them must have brought `name`.
    mutating func arrived(_ name: String, filters: TopicFilters) -> [Topic] {
        guard self.isResumed else { return [] }
        let topic = Topic(name)
        guard self.seen.count < Self.limit, !filters.covers(topic), self.seen.insert(topic).inserted else { return [] }
        return filters.strangers(matching: topic)
    }
}
