internal import LinkspanWire

/// What `/health` on the client port says.
public struct HealthReport: Sendable {
    public var version: String
    public var instance: String
    /// Clients that completed a handshake and are connected.
    public var clients: Int
    public var bridges: [BridgeStatus]

    /// `{"status":"ok","version":"..","instance":"..","clients":1,"bridges":{"name":{"type":"mqtt","state":"up","egress":{..},"ingress":{..},..}}}`
    ///
    /// `status` says that this process serves clients; what a bridge is worth is told by its state.
    public var json: String {
        var json: [UInt8] = []
        json.put("{\"status\":\"ok\",\"version\":")
        json.putJSONString(self.version)
        json.put(",\"instance\":")
        json.putJSONString(self.instance)
        json.put(",\"clients\":")
        json.put(decimal: Int64(self.clients))
        json.put(",\"bridges\":{")
        for (index, bridge) in self.bridges.enumerated() {
            if index > 0 { json.put(",") }
            json.putJSONString(bridge.name)
            json.put(":")
            bridge.encodePublic(into: &json)
        }
        json.put("}}")
        return String(decoding: json, as: UTF8.self)
    }

    func response(isHeadRequest: Bool) -> [UInt8] {
        HTTPResponse.response(
            status: 200, reason: "OK", contentType: "application/json", body: self.json, isHeadRequest: isHeadRequest)
    }
}
