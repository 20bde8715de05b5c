internal import LinkspanCore
internal import LinkspanWire

/// What a server without a key says to tokens: none was signed by it, whatever they are.
///
/// A stock SocketCluster server without a configured key makes up a random one, so clients see the same answers there.
enum TokenJudge {
    static func verdict(on token: JSONValue?, in text: RawSpan, dialect: Dialect) -> TokenVerdict {
        guard let token else { return .failed(.tokenInvalid(.missing, dialect: dialect), isBad: true) }
        guard let slice = token.string else { return .failed(.tokenNotString(dialect: dialect), isBad: true) }
        let parts = slice.string(in: text).utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 3 else { return .failed(.tokenInvalid(.malformed, dialect: dialect), isBad: true) }
        return .failed(.tokenInvalid(parts[2].isEmpty ? .unsigned : .wrongSignature, dialect: dialect), isBad: true)
    }
}
