// The port of server.js, which stands beside this file. LibraryExample.md goes through both.
import Foundation
import LinkspanBridgeKit
import LinkspanCore
import LinkspanServer
import LinkspanWire
import Logging

let accounts = ["ann": "blue", "bob": "green"]

func owner(of channel: ChannelName) -> String? {
    channel.string.hasPrefix("private/") ? String(channel.string.dropFirst("private/".count)) : nil
}

func username(of socket: ClientSocket) -> String? {
    socket.claims?.string("username")
}

struct Login: Decodable {
    var username: String
    var password: String
}

struct Letter: Decodable {
    var to: String
    var text: String
}

struct Seen: Decodable {
    var text: String
}

let application = Application { app in
    app.middleware.actions = [.subscribe, .publishIn]
    app.middleware.inbound = { action in
        let channel: ChannelName
        let mayAsOwner: Bool
        switch action.kind {
        case .subscribe(let name, _): (channel, mayAsOwner) = (name, true)
        case .publishIn(let name, _): (channel, mayAsOwner) = (name, false)
        case .transmit, .invoke, .authenticate: return .allow
        }
        guard let owner = owner(of: channel) else { return .allow }
        if mayAsOwner, owner == username(of: action.socket) { return .allow }
        return .block(ProtocolError(name: "PrivateChannelError", message: "\(channel.string) is private"))
    }

    app.procedure("login") { call in
        let login = try call.read(Login.self)
        guard accounts[login.username] == login.password else {
            throw ProtocolError(name: "LoginError", message: "Wrong name or password")
        }
        try await call.socket.setAuthToken(TokenClaims(["username": login.username]))
        return try JSONText(["channel": "private/\(login.username)"])
    }

    app.procedure("send") { call in
        guard let sender = username(of: call.socket) else { throw ErrorValue("log in first") }
        let letter = try call.read(Letter.self)
        let message = try JSONText(["from": sender, "text": letter.text])
        call.socket.exchange.publish(ChannelName("private/\(letter.to)"), message)
        return nil
    }

    app.procedure("logout") { call in
        guard let name = username(of: call.socket) else { return nil }
        call.socket.kickOut(ChannelName("private/\(name)"), message: "logged out")
        call.socket.deauthenticate()
        return nil
    }

    app.receiver("seen") { event in
        guard let name = username(of: event.socket), let seen = try? event.data?.decoded(Seen.self) else { return }
        guard let message = try? JSONText(["by": name, "text": seen.text]) else { return }
        event.socket.exchange.publish("seen", message)
    }
}

@main
struct PrivateChannels {
    static func main() async throws {
        let environment = ProcessInfo.processInfo.environment
        var settings = ServerSettings()
        settings.host = environment["HOST"] ?? "127.0.0.1"
        settings.port = environment["PORT"].flatMap(Int.init) ?? 8000
        if let key = environment["AUTH_KEY"] { settings.auth.signingKey = TokenKey(.secret(Secret(key))) }
        let logger = Logger(label: "private-channels")
        let server = LinkspanServer(
            settings: settings, instance: InstanceID("private-channels")!, application: application, logger: logger)
        try await server.run()
    }
}

// MARK: - JSON by Codable

extension JSONText {
    init(_ members: [String: String]) throws {
        self.init(alreadyValid: Array(try JSONEncoder().encode(members)))
    }

    func decoded<Value: Decodable>(_ type: Value.Type) throws -> Value {
        try JSONDecoder().decode(type, from: Data(self.utf8))
    }
}

extension ProcedureCall {
    func read<Value: Decodable>(_ type: Value.Type) throws -> Value {
        guard let value = try? self.data?.decoded(type) else {
            throw ProtocolError(name: "InvalidArgumentsError", message: "\(self.name) needs other data")
        }
        return value
    }
}
