internal import CLinkspanFloor

/// Which cores do what, so that the server measured has one to itself where there are enough.
struct Cores: Sendable {
    /// Of the server that is measured.
    var server: [Int]
    /// Of a broker between two processes that are measured.
    var broker: [Int]
    /// Of the load generator.
    var generator: [Int]

    /// Nobody is kept anywhere.
    static let all = Cores(server: [], broker: [], generator: [])

    /// Splits what this process may run on.
    static func split() -> Cores {
        let all = Self.allowed()
        switch all.count {
        case 0, 1: return .all
        case 2: return Cores(server: [all[0]], broker: [all[1]], generator: [all[1]])
        case 3: return Cores(server: [all[0]], broker: [all[2]], generator: [all[1], all[2]])
        default: return Cores(server: [all[0]], broker: [all[1]], generator: [all[2], all[3]])
        }
    }

    /// All but the one of the broker, for what is on both of its sides; none where there are too few to keep apart.
    var besideBroker: [Int] {
        guard self.server != self.broker, self.broker != self.generator else { return [] }
        return self.server + self.generator.filter { !self.broker.contains($0) }
    }

    static func allowed() -> [Int] {
        var cores = [Int32](repeating: 0, count: 1024)
        let count = linkspan_cores(&cores, cores.count)
        return cores.prefix(count).map { Int($0) }
    }

    /// Keeps the calling thread, and the processes that it starts, on these cores; none leaves everything as it is.
    static func pin(to cores: [Int]) {
        guard !cores.isEmpty else { return }
        linkspan_pin(cores.map { Int32($0) }, cores.count)
    }

    /// Keeps each of some threads on a core of its own: those that wake each other are otherwise put on one, and share it.
    static func pin(_ threads: [Int32], to cores: [Int]) {
        for (thread, core) in zip(threads, cores) { linkspan_pin_thread(thread, Int32(core)) }
    }
}
