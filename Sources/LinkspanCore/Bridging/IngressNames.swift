public import LinkspanBridgeKit

/// Finds the channel for each upstream name that one bridge receives, and remembers the answers.
///
/// Memory is bounded by two generations of `generationLimit` names: when the younger is full it becomes the older, which is forgotten.
public struct IngressNames: Sendable {
    public enum Answer: Sendable, Hashable {
        case channel(ChannelName)
        /// What instances tell each other; never reaches clients.
        case control(ControlChannel)
        case refused(IngressRefusal)
    }

    private let template: NameTemplate
    /// Nil when the rule takes nothing in.
    private let selector: ChannelSelector?
    private let generationLimit: Int
    private let control: Set<ControlChannel>
    private var young: [UpstreamName: Answer] = [:]
    private var old: [UpstreamName: Answer] = [:]
    private var last: (name: UpstreamName, answer: Answer)?

    /// - Parameter control: the control channels that this bridge takes in; others are refused like all that is reserved.
    public init(
        template: NameTemplate, selector: ChannelSelector?, control: Set<ControlChannel> = [],
        generationLimit: Int = 4096
    ) {
        self.template = template
        self.selector = selector
        self.control = control
        self.generationLimit = max(generationLimit, 1)
    }

    /// - Complexity: a comparison for the name of the message before, a look-up for a name met recently, O(name) otherwise.
    public mutating func answer(for name: String) -> Answer {
        let name = UpstreamName(name)
        if let last, last.name == name { return last.answer }
        let answer = self.young[name] ?? self.promote(name)
        self.last = (name, answer)
        return answer
    }

    private mutating func promote(_ name: UpstreamName) -> Answer {
        let answer = self.old[name] ?? self.judge(name.string)
        if self.young.count >= self.generationLimit {
            self.old = self.young
            self.young = [:]
        }
        self.young[name] = answer
        return answer
    }

    private func judge(_ name: String) -> Answer {
        guard let channel = self.template.decode(name) else { return .refused(.badName) }
        if let control = ControlChannel(channel), self.control.contains(control) { return .control(control) }
        if channel.isReserved { return .refused(.reserved) }
        guard let selector, selector.contains(channel) else { return .refused(.notMatched) }
        return .channel(channel)
    }
}
