internal import LinkspanBridgeKit

/// Looks again, while a conversation lasts, at what the guarantee rests on: an administrator may take it away at any time.
///
/// Each look is a connection of its own that logs in and asks what the command connection asked, so nothing waits behind it.
struct PromiseReview: Sendable {
    let link: BridgeLink
    /// Of the command connection.
    let login: Login
    let options: RedisOptions
    /// The one that the conversation is with.
    let server: Discovery

    /// Returns when the task is cancelled, or at once when the options want no look.
    func run() async {
        guard let interval = self.options.reviewInterval else { return }
        // Instances that started together do not ask together.
        while (try? await Task.sleep(for: interval * Double.random(in: 0.75...1.25))) != nil {
            // Whether the server answers at all is for the connections of the conversation to find out.
            guard let facts = try? await self.server.facts(login: self.login), !Task.isCancelled else { continue }
            self.link.reviewed(facts.promises)
        }
    }
}
