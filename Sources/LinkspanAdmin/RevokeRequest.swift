internal import LinkspanCore
internal import LinkspanWire

/// What `POST /revoke` asks for: `{"user":"ann"}`, or `{"token":"<jti>"}`.
struct RevokeRequest: Hashable {
    var party: RevokedParty

    /// Largest body, in bytes.
    static let bodyLimit = 65_536

    /// Why nothing was revoked.
    struct Problem: Error, Hashable {
        var reason: String
    }

    init(body: [UInt8]) throws(Problem) {
        guard let request = TokenClaims(json: body), request.isObject else {
            throw Problem(reason: "the body is no JSON object")
        }
        let members = request.members
        guard members.count == 1, let name = members.first?.name, ["user", "token"].contains(name) else {
            throw Problem(reason: "expected one member, user or token")
        }
        guard let value = request.string(name), !value.isEmpty else {
            throw Problem(reason: "\(name) is no string, or empty")
        }
        self.party = name == "user" ? .user(value) : .token(value)
    }
}
