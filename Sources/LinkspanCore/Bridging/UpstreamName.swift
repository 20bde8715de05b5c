/// An upstream name as a key: compared by its bytes, as upstreams do, where `String` would take canonically equivalent spellings for one.
struct UpstreamName: Sendable {
    let string: String

    init(_ string: String) {
        self.string = string
    }
}

extension UpstreamName: Hashable {
    static func == (one: UpstreamName, other: UpstreamName) -> Bool {
        one.string.utf8.elementsEqual(other.string.utf8)
    }

    func hash(into hasher: inout Hasher) {
        var copy = self.string
        copy.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }
}
