/// The known word that somebody who wrote `word` most likely meant.
enum Suggestion {
    /// Nil when none is near: more than a third of the letters would have to change.
    static func nearest(to word: String, in known: some Sequence<String>) -> String? {
        // Longer input is no misspelling of any key of ours, and the distance costs the product of the lengths.
        guard word.utf8.count <= 128 else { return nil }
        let letters = Array(word.lowercased().utf8)
        let ranked = known.map { (word: $0, distance: Self.distance(letters, Array($0.lowercased().utf8))) }
        guard let best = ranked.min(by: { ($0.distance, $0.word) < ($1.distance, $1.word) }) else { return nil }
        return best.distance <= max(1, (max(letters.count, best.word.utf8.count) + 1) / 3) ? best.word : nil
    }

    /// Insertions, deletions, replacements and swaps of neighbours that turn one word into the other (optimal string alignment).
    static func distance(_ one: [UInt8], _ other: [UInt8]) -> Int {
        var beforeLast: [Int] = []
        var last = Array(0...other.count)
        for row in one.indices {
            var current = [row + 1]
            for column in other.indices {
                let replaced = last[column] + (one[row] == other[column] ? 0 : 1)
                var best = min(replaced, last[column + 1] + 1, current[column] + 1)
                if row > 0, column > 0, one[row] == other[column - 1], one[row - 1] == other[column] {
                    best = min(best, beforeLast[column - 1] + 1)
                }
                current.append(best)
            }
            beforeLast = last
            last = current
        }
        return last[other.count]
    }
}
