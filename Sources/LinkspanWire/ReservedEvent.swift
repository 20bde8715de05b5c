/// Events that belong to the protocol; every other name, also one that begins with `#`, belongs to the application.
enum ReservedEvent: CaseIterable {
    case handshake, authenticate, removeAuthToken, setAuthToken, subscribe, unsubscribe, publish, kickOut, disconnect

    var name: StaticString {
        switch self {
        case .handshake: "#handshake"
        case .authenticate: "#authenticate"
        case .removeAuthToken: "#removeAuthToken"
        case .setAuthToken: "#setAuthToken"
        case .subscribe: "#subscribe"
        case .unsubscribe: "#unsubscribe"
        case .publish: "#publish"
        case .kickOut: "#kickOut"
        case .disconnect: "#disconnect"
        }
    }

    @inline(__always)
    init?(_ name: StringSlice, base: UnsafePointer<UInt8>) {
        // Application events pay one comparison; an escaped `#` is legal and never seen.
        guard name.hasEscapes || (name.range.count >= 8 && base[name.range.lowerBound] == UInt8(ascii: "#")) else {
            return nil
        }
        if name.equals("#publish", base: base) {
            self = .publish
            return
        }
        guard let found = Self.allCases.first(where: { name.equals($0.name, base: base) }) else { return nil }
        self = found
    }
}
