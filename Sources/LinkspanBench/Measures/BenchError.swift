/// Why a benchmark could not be run, for people.
struct BenchError: Error, Sendable, CustomStringConvertible {
    var description: String

    init(_ description: String) { self.description = description }
}
