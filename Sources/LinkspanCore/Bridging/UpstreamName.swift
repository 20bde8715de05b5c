/// An upstream name as a key: compared by its bytes, as upstreams do, where `String` would take canonically equivalent spellings for one.
struct UpstreamName: Sendable {
    let string: String

    init(_ string: String) {
        self.string = string
    }
}

extension UpstreamName: Hashable {
    static func == (one: UpstreamName, other: UpstreamName) -> Bool {
        let (one, other) = (one.string.utf8, other.string.utf8)
        guard one.count == other.count else { return false }
        let areEqual = one.withContiguousStorageIfAvailable { ones in
            other.withContiguousStorageIfAvailable { others in
                UnsafeRawBufferPointer(ones).elementsEqual(UnsafeRawBufferPointer(others))
            }
        }
        return (areEqual ?? nil) ?? one.elementsEqual(other)
    }

    func hash(into hasher: inout Hasher) {
        var copy = self.string
        copy.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }
}
