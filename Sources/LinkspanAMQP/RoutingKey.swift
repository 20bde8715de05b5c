/// A routing or binding key, compared by its UTF-8 bytes as the upstream does: `String` takes canonically equivalent ones for equal.
struct RoutingKey: Hashable, Sendable {
    let string: String

    init(_ string: String) {
        self.string = string
    }

    static func == (one: RoutingKey, other: RoutingKey) -> Bool {
        one.string.utf8.elementsEqual(other.string.utf8)
    }

    func hash(into hasher: inout Hasher) {
        var string = self.string
        string.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }
}
