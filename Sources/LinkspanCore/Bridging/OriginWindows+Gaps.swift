public import LinkspanBridgeKit
public import NIOCore

extension OriginWindows {
    /// Gaps that one window remembers, final ones included; past it the lowest is forgotten, and what still comes from it is a duplicate.
    static let gapLimit = 64

    /// Books what a verdict of ``judge(_:isDirect:at:)`` means for gaps: names a new one, or fills an old one.
    ///
    /// - Precondition: `origin` was just judged.
    /// - Complexity: nothing for what is in order and for duplicates.
    public mutating func book(
        _ verdict: SequenceVerdict, of origin: Origin, _ context: GapContext, _ watch: inout GapWatch
    ) {
        switch verdict {
        case .fresh(gap: nil), .duplicate: break
        case .fresh(gap: let gap?): self.change(origin) { $0.name(gap, context, &watch) }
        case .late: self.change(origin) { $0.fill(origin.sequence, &watch) }
        }
    }

    /// The origin says that it sent everything up to `origin`; what is missing of that becomes a gap.
    ///
    /// Marks of origins that were never heard in this channel change nothing, unless we heard an earlier life of the instance: then its
    /// new life counts from 1.
    public mutating func mark(
        _ origin: Origin, isDirect: Bool, _ context: GapContext, _ watch: inout GapWatch
    ) {
        guard self.index(of: origin) != nil || (isDirect && self.isSuccessor(origin)) else { return }
        if self.index(of: origin) == nil { _ = self.insert(origin, isDirect: isDirect, at: context.now) }
        self.change(origin) { window in
            window.lastHeard = max(window.lastHeard, context.now)
            if let gap = window.sequences.mark(origin.sequence) { window.name(gap, context, &watch) }
        }
    }

    /// Whether a message is missing, so that it is worth taking when it is sent again.
    public func isMissing(_ origin: Origin) -> Bool {
        guard let index = self.index(of: origin) else { return false }
        return self.windows[index].gaps.contains { $0.range.contains(origin.sequence) }
            && self.windows[index].sequences.firstMissing(in: origin.sequence...origin.sequence) != nil
    }

    /// Takes what came by another way out of what is missing up to `origin`, and from what later messages wait for.
    public mutating func settle(_ known: GroupWindows, upTo origin: Origin, _ watch: inout GapWatch) {
        self.change(origin) { window in
            for gap in window.gaps {
                for sequence in known.known(origin, in: gap.range)
                where window.sequences.firstMissing(in: sequence...sequence) != nil {
                    _ = window.sequences.judge(sequence)
                    window.fill(sequence, &watch)
                }
            }
        }
    }

    /// Says that nobody listened for a while: what comes next shows no gap.
    public mutating func rebase() {
        for index in self.windows.indices { self.windows[index].sequences.rebase() }
    }

    /// Whether a message has to wait for missing ones before it.
    public func mustWait(_ origin: Origin) -> Bool {
        guard self.waitingCount > 0, let index = self.index(of: origin) else { return false }
        return self.windows[index].barrier.map { $0 < origin.sequence } ?? false
    }

    /// Keeps a message for which ``mustWait(_:)`` holds.
    ///
    /// Past the watch's bound nothing waits any longer in that window: ``release(at:_:_:)`` then hands out all of it.
    public mutating func hold(_ envelope: HeldEnvelope, _ watch: inout GapWatch) {
        self.change(envelope.header.origin) { window in
            watch.heldBytes += envelope.cost
            window.insert(envelope)
            if watch.heldBytes > watch.heldLimit { window.giveUpOrder(at: .distantFuture) }
        }
    }

    /// Gives up what is due at `now`, and hands out the messages that wait for nothing any more, in the order of each origin.
    public mutating func release(at now: NIODeadline, _ watch: inout GapWatch, _ body: (HeldEnvelope) -> Void) {
        for var window in self.evicted {
            for envelope in window.held {
                watch.heldBytes -= envelope.cost
                body(envelope)
            }
            window.held = []
            window.finish(at: .distantFuture, &watch)
        }
        self.evicted = []
        for index in self.windows.indices where self.windows[index].isOpen {
            let wasWaiting = self.windows[index].isWaiting
            self.windows[index].giveUpOrder(at: now)
            self.windows[index].finish(at: now, &watch)
            for envelope in self.windows[index].takeReleased() {
                watch.heldBytes -= envelope.cost
                body(envelope)
            }
            self.count(wasWaiting, self.windows[index].isWaiting)
        }
    }

    /// When ``release(at:_:_:)`` has something to do at the latest; nil when nothing is missing.
    public var nextDeadline: NIODeadline? {
        guard self.evicted.isEmpty else { return .distantPast }
        return self.windows.lazy.filter(\.isOpen).compactMap(\.nextDeadline).min()
    }

    private mutating func change(_ origin: Origin, _ body: (inout OriginWindow) -> Void) {
        guard let index = self.index(of: origin) else { return }
        let wasWaiting = self.windows[index].isWaiting
        body(&self.windows[index])
        self.count(wasWaiting, self.windows[index].isWaiting)
    }

    private mutating func count(_ wasWaiting: Bool, _ isWaiting: Bool) {
        if wasWaiting != isWaiting { self.waitingCount += isWaiting ? 1 : -1 }
    }
}

extension OriginWindow {
    /// Whether something is due here by the clock.
    var isOpen: Bool { !self.held.isEmpty || self.gaps.contains { !$0.isFinal } }

    /// Whether messages wait here, or would.
    var isWaiting: Bool { !self.held.isEmpty || self.gaps.contains { $0.orderUntil != nil } }

    /// The lowest missing number for which later ones wait.
    var barrier: UInt64? {
        for gap in self.gaps where gap.orderUntil != nil {
            if let missing = self.sequences.firstMissing(in: gap.range) { return missing }
        }
        return nil
    }

    var nextDeadline: NIODeadline? {
        self.gaps.lazy.filter { !$0.isFinal }.map { gap in
            gap.orderUntil.map { min($0, gap.finalAt) } ?? gap.finalAt
        }.min()
    }

    mutating func name(_ range: ClosedRange<UInt64>, _ context: GapContext, _ watch: inout GapWatch) {
        let origin = Origin(instance: self.instance, epoch: self.epoch, sequence: range.upperBound)
        let isPastLimit = watch.openCount >= watch.openLimit
        let id = watch.name(range, of: origin, context)
        let gap = TrackedGap(
            id: id, bridge: context.bridge, range: range,
            remaining: range.upperBound &- range.lowerBound &+ 1,
            orderUntil: context.terms.hold.map { context.now + $0 }, finalAt: context.now + context.terms.finalAfter)
        guard !isPastLimit else {
            watch.final(gap)
            return self.sequences.forget(range)
        }
        self.gaps.append(gap)
        guard self.gaps.count > OriginWindows.gapLimit else { return }
        let lowest = self.gaps.removeFirst()
        if !lowest.isFinal { watch.final(lowest) }
        self.sequences.forget(lowest.range)
    }

    mutating func fill(_ sequence: UInt64, _ watch: inout GapWatch) {
        guard let index = self.gaps.firstIndex(where: { $0.range.contains(sequence) }) else { return }
        self.gaps[index].remaining &-= 1
        watch.filled(self.gaps[index], sequence)
        guard self.gaps[index].remaining == 0 else { return }
        if !self.gaps[index].isFinal { watch.openCount -= 1 }
        self.gaps.remove(at: index)
    }

    mutating func insert(_ envelope: HeldEnvelope) {
        let index = self.held.lastIndex { $0.sequence < envelope.sequence }.map { $0 + 1 } ?? 0
        self.held.insert(envelope, at: index)
    }

    mutating func giveUpOrder(at now: NIODeadline) {
        for index in self.gaps.indices {
            if let until = self.gaps[index].orderUntil, until <= now { self.gaps[index].orderUntil = nil }
        }
    }

    mutating func finish(at now: NIODeadline, _ watch: inout GapWatch) {
        for index in self.gaps.indices where !self.gaps[index].isFinal && self.gaps[index].finalAt <= now {
            self.gaps[index].isFinal = true
            self.gaps[index].orderUntil = nil
            watch.final(self.gaps[index])
        }
    }

    mutating func takeReleased() -> [HeldEnvelope] {
        guard !self.held.isEmpty else { return [] }
        guard let barrier = self.barrier else {
            defer { self.held = [] }
            return self.held
        }
        let count = self.held.firstIndex { $0.sequence > barrier } ?? self.held.count
        guard count > 0 else { return [] }
        defer { self.held.removeFirst(count) }
        return Array(self.held.prefix(count))
    }
}
