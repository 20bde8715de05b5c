/// Looks for a channel that lies in several sets of channels at once, so that a check can prove that there is none, or show one.
///
/// Pure. The sets are regular languages; their product is walked breadth first, so the example found is a shortest one.
struct ChannelSearch {
    enum Outcome: Hashable {
        case example(String)
        case nothing
        /// More states than ``stateLimit``: neither was proven.
        case undecided
    }

    /// A set of texts: those that match one of `include` and none of `exclude`, with `prefix` before and `suffix` behind the match.
    struct Area {
        private(set) var include: [Pattern]
        private(set) var exclude: [Pattern]

        init(_ selector: ChannelSelector, prefix: String = "", suffix: String = "") {
            self.init(include: selector.include, exclude: selector.exclude, prefix: prefix, suffix: suffix)
        }

        init(include: [Glob], exclude: [Glob] = [], prefix: String = "", suffix: String = "") {
            self.include = include.map { Pattern($0, prefix: prefix, suffix: suffix) }
            self.exclude = exclude.map { Pattern($0, prefix: prefix, suffix: suffix) }
        }
    }

    /// A glob with text around it, as tokens.
    struct Pattern {
        var tokens: [Glob.Token]

        init(_ glob: Glob, prefix: String, suffix: String) {
            let literals = { (text: String) in text.unicodeScalars.map(Glob.Token.literal) }
            self.tokens = literals(prefix + glob.literalPrefix) + glob.wild + literals(suffix)
        }
    }

    /// States that a search visits at most.
    static let stateLimit = 4_096

    private let areas: [Area]
    private let patterns: [Pattern]
    private let alphabet: [Unicode.Scalar]

    /// A non-empty text that lies in every one of `areas`.
    static func text(inAll areas: [Area]) -> Outcome {
        Self(areas).search()
    }

    private init(_ areas: [Area]) {
        self.areas = areas
        self.patterns = areas.flatMap { $0.include + $0.exclude }
        var literals: Set<Unicode.Scalar> = ["/"]
        for case .literal(let scalar) in self.patterns.lazy.flatMap(\.tokens) { literals.insert(scalar) }
        // One character that no pattern names stands for all of them.
        let other = "xyzabcdefghijklmnopqrstuvw0123456789".unicodeScalars.first { !literals.contains($0) } ?? "\u{2022}"
        self.alphabet = [other] + literals.sorted()
    }

    /// For each pattern the positions that the text so far may have reached in it.
    private typealias State = [[Bool]]

    private func search() -> Outcome {
        let start = self.patterns.map { pattern in
            var reached = [Bool](repeating: false, count: pattern.tokens.count + 1)
            reached[0] = true
            return Self.skippingEmptyRuns(reached, pattern)
        }
        var visited: Set<State> = [start]
        var steps: [(from: Int, scalar: Unicode.Scalar)] = [(0, "/")]
        var queue = [start]
        var next = 0
        while next < queue.count {
            let state = queue[next]
            for scalar in self.alphabet {
                let following = zip(state, self.patterns).map { Self.step($0, $1, scalar) }
                guard self.isAlive(following) else { continue }
                if self.isAccepting(following) { return .example(Self.text(to: next, steps, then: scalar)) }
                guard visited.insert(following).inserted else { continue }
                guard queue.count < Self.stateLimit else { return .undecided }
                queue.append(following)
                steps.append((next, scalar))
            }
            next += 1
        }
        return .nothing
    }

    private static func step(_ reached: [Bool], _ pattern: Pattern, _ scalar: Unicode.Scalar) -> [Bool] {
        var next = [Bool](repeating: false, count: reached.count)
        for (index, token) in pattern.tokens.enumerated() where reached[index] && token.accepts(scalar) {
            next[token.isRun ? index : index + 1] = true
        }
        return Self.skippingEmptyRuns(next, pattern)
    }

    private static func skippingEmptyRuns(_ reached: [Bool], _ pattern: Pattern) -> [Bool] {
        var reached = reached
        for (index, token) in pattern.tokens.enumerated() where reached[index] && token.isRun {
            reached[index + 1] = true
        }
        return reached
    }

    private func isAlive(_ state: State) -> Bool {
        var rest = state[...]
        for area in self.areas {
            guard rest.prefix(area.include.count).contains(where: { $0.contains(true) }) else { return false }
            rest = rest.dropFirst(area.include.count + area.exclude.count)
        }
        return true
    }

    private func isAccepting(_ state: State) -> Bool {
        let ends = state.map { $0.last == true }
        var rest = ends[...]
        for area in self.areas {
            let included = rest.prefix(area.include.count)
            let excluded = rest.dropFirst(area.include.count).prefix(area.exclude.count)
            guard included.contains(true), !excluded.contains(true) else { return false }
            rest = rest.dropFirst(area.include.count + area.exclude.count)
        }
        return true
    }

    private static func text(
        to state: Int, _ steps: [(from: Int, scalar: Unicode.Scalar)], then last: Unicode.Scalar
    ) -> String {
        var scalars = [last]
        var state = state
        while state > 0 {
            scalars.append(steps[state].scalar)
            state = steps[state].from
        }
        var text = String.UnicodeScalarView()
        text.append(contentsOf: scalars.reversed())
        return String(text)
    }
}
