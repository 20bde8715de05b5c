internal import LinkspanCore
internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// The loops of one server, for whoever comes first: the server, or a bridge that lives on one of them.
///
/// They start with the first who asks and end when the last one is done. A bridge still sends when the server has closed its last client.
final class LoopGroups: Sendable {
    let loopCount: Int
    private let current = Mutex<Reference>(Reference())

    private struct Reference {
        weak var group: LoopGroup?
    }

    init(loopCount: Int) {
        self.loopCount = loopCount
    }

    /// The loops that run, or new ones; they run at least as long as what is returned.
    func group() -> LoopGroup {
        self.current.withLock { reference in
            if let group = reference.group { return group }
            let group = LoopGroup(loopCount: self.loopCount)
            reference.group = group
            return group
        }
    }

    func lease() -> EventLoopLease {
        let group = self.group()
        return EventLoopLease(group.eventLoops.next(), owner: group)
    }
}

/// Event loops that end with this object.
final class LoopGroup: Sendable {
    let eventLoops: MultiThreadedEventLoopGroup

    fileprivate init(loopCount: Int) {
        self.eventLoops = MultiThreadedEventLoopGroup(numberOfThreads: loopCount)
    }

    deinit {
        // Nobody waits: the last one to let go may be one of the loops.
        self.eventLoops.shutdownGracefully { _ in }
    }
}
