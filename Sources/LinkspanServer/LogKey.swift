/// The keys of log metadata, all of them.
enum LogKey {
    static let address = "server.address"
    static let clients = "server.clients"

    static let hook = "hook.name"

    static let bridge = "bridge.name"
    static let upstream = "upstream.url"
    static let product = "upstream.product"
    static let retryIn = "retry.in"
    static let code = "error.code"
    static let reason = "error.reason"
    static let instance = "instance.id"
    static let epoch = "instance.epoch"
    static let peerBridge = "peer.bridge"
    static let dropped = "dropped.messages"

    static let bufferedMessages = "buffer.messages"
    static let file = "file.name"
    static let bytes = "file.bytes"
    static let promise = "promise.name"
    static let lost = "lost.messages"
}
