import LinkspanCore
import TestSupport
import Testing

@Suite struct SubscriptionNameTableTests {
    @Test func `names are found, forgotten and numbered like in a dictionary`() {
        var random = SeededRandom()
        var table = NameTable()
        var model: [String: Int] = [:]
        for step in 0..<50_000 {
            let name = "channel/\(Int.random(in: 0..<600, using: &random))"
            let found = self.with(name) { table.find($0, hash: $1) }
            #expect(found == model[name])
            if let number = found {
                guard Int.random(in: 0..<2, using: &random) == 0 else { continue }
                let generation = table.generation(of: number)
                #expect(table.isCurrent(number, generation: generation))
                table.remove(number)
                #expect(!table.isCurrent(number, generation: generation))
                model[name] = nil
            } else {
                let number = self.with(name) { table.insert($0, hash: $1) }
                #expect(!model.values.contains(number), "step \(step)")
                #expect(table.name(of: number) == Array(name.utf8))
                model[name] = number
            }
            #expect(table.count == model.count)
        }
        #expect(table.capacity <= 600, "numbers are used again")
    }

    @Test func `the empty name and names with NUL are names like any other`() {
        var table = NameTable()
        let names = ["", "\0", "\0\0", "a\0b"]
        let numbers: [Int?] = names.map { name in self.with(name) { table.insert($0, hash: $1) } }
        #expect(names.map { name in self.with(name) { table.find($0, hash: $1) } } == numbers)
    }

    @Test func `owners share the channels evenly`() {
        var counts = [Int](repeating: 0, count: 5)
        for number in 0..<10_000 {
            self.with("room/\(number)") { _, hash in counts[hash.owner(among: 5)] += 1 }
        }
        #expect(counts.allSatisfy { (1_700...2_300).contains($0) }, "\(counts)")
    }

    private func with<Result>(_ name: String, _ body: (UnsafeRawBufferPointer, NameTable.Hash) -> Result) -> Result {
        Array(name.utf8).withUnsafeBytes { body($0, NameTable.Hash($0)) }
    }
}
