internal import LinkspanBridgeKit
internal import LinkspanCore
internal import NIOCore

/// Messages of bridges whose upstream gives each to one of several instances.
extension ChannelOwner {
    /// Looked up once for each batch.
    func isShared(_ source: Injection.Source) -> Bool {
        guard case .bridge(let bridge, _, _) = source else { return false }
        return self.gaps.terms(of: bridge, self.context.bridgePlane).isShared
    }

    /// A message that this instance was chosen for. What is not here another instance has, so nothing is missing and nothing waits.
    ///
    /// The same channel may come by a bridge that brings everything, too; whichever brings a message first, it is delivered once.
    func arriveShared(
        _ name: UnsafeRawBufferPointer, hash: NameTable.Hash, header: EnvelopeHeader?, data: UnsafeRawBufferPointer,
        from bridge: BridgeIndex, hopLimit: Int, turn: Turn, tally: inout IngressTally
    ) {
        let number = self.number(of: name, hash: hash, now: turn.now)
        let channel = self.channels[number].unsafelyUnwrapped
        channel.lastUsed = turn.now
        guard let header else {
            tally.delivered += 1
            self.frame(data, channel: channel, number: number)
            return self.carryRawOnward(data, from: bridge, channel: channel, turn: turn)
        }
        guard self.passes(header, hopLimit: hopLimit, &tally) else { return }
        var known = channel.groupWindows ?? GroupWindows()
        channel.groupWindows = nil
        let isNew = known.insert(header.origin, at: turn.now)
        channel.groupWindows = known
        guard isNew, channel.windows?.contains(header.origin) != true else {
            tally.duplicate += 1
            return
        }
        if channel.windows?.isMissing(header.origin) == true { self.closeGap(header, channel, number, turn) }
        tally.delivered += 1
        self.deliverArrival(data, header: header, from: bridge, channel: channel, number: number)
    }

    /// What another bridge had named missing came by this one; messages that wait for it follow at the end of the turn.
    private func closeGap(_ header: EnvelopeHeader, _ channel: OwnedChannel, _ number: Int, _ turn: Turn) {
        guard var windows = channel.windows, let known = channel.groupWindows else { return }
        channel.windows = nil
        windows.settle(known, upTo: header.origin, &self.gaps.watch)
        self.gaps.await(number, until: turn.now)
        channel.windows = windows
    }

    /// Gives a raw message an identity of this instance where a bridge carries it onward: only this instance has it.
    private func carryRawOnward(
        _ data: UnsafeRawBufferPointer, from bridge: BridgeIndex, channel: OwnedChannel, turn: Turn
    ) {
        guard channel.routes.contains(where: { $0.carriesOn(from: bridge) }) else { return }
        let origin = channel.identifyRaw(from: bridge, instance: self.context.instance)
        self.nextEpoch = max(self.nextEpoch, origin.epoch + 1)
        let header = EnvelopeHeader(origin: origin, hops: self.context.ownHops, acceptedAt: turn.wallClock)
        self.depart(channel, data: data, header: header, arrival: bridge, raisesEvent: false)
    }
}
