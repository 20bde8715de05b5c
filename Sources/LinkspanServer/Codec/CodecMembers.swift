internal import LinkspanCore

/// The channels of one loop that connections of one codec are subscribed to.
///
/// Subscribers of one channel that read different codecs are apart from the start, so a delivery asks none of them what it reads.
final class CodecMembers {
    let codec: MessageCodec
    @exclusivity(unchecked) var names = NameTable()
    @exclusivity(unchecked) var subscriptions = SubscriptionTable()

    init(_ codec: MessageCodec) {
        self.codec = codec
    }

    func channel(_ number: Int) -> ShardChannel {
        ShardChannel(number: Int32(number), generation: self.names.generation(of: number), codec: self.codec)
    }
}

@available(*, unavailable)
extension CodecMembers: Sendable {}
