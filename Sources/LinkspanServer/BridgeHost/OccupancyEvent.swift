internal import LinkspanBridgeKit
internal import LinkspanCore
internal import LinkspanWire
internal import NIOCore

/// A broker event that is mirrored to an upstream: `{"channel":"news","event":"subscribe","instance":"fra-1","at":1795216176123}`, published under
/// the rule's name for the reserved channel `$linkspan/events/subscribe` or `$linkspan/events/unsubscribe`.
enum OccupancyEvent: String, Sendable, CaseIterable {
    /// The first local subscriber of a channel came.
    case subscribe
    /// The last one left.
    case unsubscribe

    var channel: ChannelName { ChannelName(ChannelName.reservedPrefix + "events/" + self.rawValue) }

    /// - Parameter milliseconds: since 1970.
    func json(channel: ChannelName, instance: InstanceID, at milliseconds: UInt64) -> ByteBuffer {
        var json = ByteBuffer()
        json.put("{\"channel\":")
        json.putJSONString(channel.string)
        json.put(",\"event\":\"")
        json.put(verbatim: self.rawValue)
        json.put("\",\"instance\":\"")
        json.put(verbatim: instance.string)
        json.put("\",\"at\":")
        json.put(decimal: Int64(clamping: milliseconds))
        json.put("}")
        return json
    }
}
