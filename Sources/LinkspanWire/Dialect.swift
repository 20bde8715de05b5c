/// One of SocketCluster's two wire protocols.
///
/// Nothing in the handshake tells them apart; the first pong does. They differ in pings, in some error texts and in
/// `#disconnect`.
public enum Dialect: UInt8, Hashable, Sendable, CaseIterable {
    /// Releases up to 14: ping `#1`, pong `#2`.
    case v1 = 1
    /// Releases 15 and later: ping and pong are empty text messages.
    case v2 = 2
}
