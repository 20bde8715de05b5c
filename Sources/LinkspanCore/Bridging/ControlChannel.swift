public import LinkspanBridgeKit

/// A reserved channel by which instances talk to each other, through the name template of each rule. Clients cannot use it, and what arrives
/// on it is in no ledger.
public enum ControlChannel: String, Sendable, Hashable, CaseIterable {
    /// Signs of life that come back: ``ProbeTable``.
    case probe
    /// Who began to listen, and who no longer does: ``OccupancyEvent``.
    case subscribe = "events/subscribe"
    case unsubscribe = "events/unsubscribe"
    /// Who listens already: ``OccupancySnapshot``.
    case occupancy
    /// How far senders got: ``MarkMessage``.
    case marks
    /// What receivers missed: ``RepairMessage``.
    case repair

    public var channel: ChannelName { ChannelName(ChannelName.reservedPrefix + self.rawValue) }

    /// Nil when `channel` is none of these.
    public init?(_ channel: ChannelName) {
        guard channel.isReserved else { return nil }
        self.init(rawValue: String(channel.string.dropFirst(ChannelName.reservedPrefix.count)))
    }
}
