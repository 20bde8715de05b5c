internal import LinkspanCore

/// The channels of one loop that connections of one form are subscribed to.
///
/// Subscribers of one channel that read different forms are apart from the start, so a delivery asks none of them what it reads.
final class FormMembers {
    let form: FrameForm
    @exclusivity(unchecked) var names = NameTable()
    @exclusivity(unchecked) var subscriptions = SubscriptionTable()

    init(_ form: FrameForm) {
        self.form = form
    }

    func channel(_ number: Int) -> ShardChannel {
        ShardChannel(number: Int32(number), generation: self.names.generation(of: number), form: self.form)
    }
}

@available(*, unavailable)
extension FormMembers: Sendable {}
