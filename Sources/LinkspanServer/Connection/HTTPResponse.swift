internal import Crypto
internal import LinkspanCore
internal import LinkspanWire

/// The few HTTP answers of the client port, whole.
enum HTTPResponse {
    static func upgrade(_ upgrade: Upgrade) -> [UInt8] {
        var response: [UInt8] = []
        response.reserveCapacity(288)
        response.put(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ")
        self.putAccept(forKey: upgrade.key, into: &response)
        if let subprotocol = upgrade.subprotocol {
            response.put("\r\nSec-WebSocket-Protocol: ")
            response.put(verbatim: subprotocol)
        }
        if let compression = upgrade.compression {
            response.put("\r\nSec-WebSocket-Extensions: ")
            response.put(verbatim: compression.field)
        }
        response.put("\r\n\r\n")
        return response
    }

    /// `Sec-WebSocket-Accept` (RFC 6455 4.2.2).
    private static func putAccept(forKey key: String, into response: inout [UInt8]) {
        var hash = Insecure.SHA1()
        var input = key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        input.withUTF8 { hash.update(bufferPointer: UnsafeRawBufferPointer($0)) }
        hash.finalize().withUnsafeBytes { Base64.standard.encode($0, into: &response) }
    }

    static func refusal(_ refusal: UpgradeRefusal) -> [UInt8] {
        Self.response(
            status: refusal.status, reason: refusal.reason, contentType: refusal.contentType, fields: refusal.fields,
            body: refusal.body)
    }

    /// Ends the connection: nobody who asks for this speaks on.
    static func response(
        status: Int, reason: String, contentType: String, fields: [HTTPField] = [], body: String,
        isHeadRequest: Bool = false
    ) -> [UInt8] {
        // Whoever sends `Upgrade` names it here as well (RFC 9110 7.8).
        let options = fields.contains { $0.name == "Upgrade" } ? "close, Upgrade" : "close"
        var head = "HTTP/1.1 \(status) \(reason)\r\nConnection: \(options)\r\nContent-Type: \(contentType)\r\n"
        head += "Content-Length: \(body.utf8.count)\r\n"
        for field in fields { head += "\(field.name): \(field.value)\r\n" }
        return Array((head + "\r\n" + (isHeadRequest ? "" : body)).utf8)
    }
}
