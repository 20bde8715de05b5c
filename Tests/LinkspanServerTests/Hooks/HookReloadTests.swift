import LinkspanBridgeKit
import LinkspanCore
import LinkspanWire
import NIOCore
import Testing

@testable import LinkspanServer

@Suite struct `A server whose permissions and hooks change` {
    private static let no = HookServer.Answer.status(200, #"{"error":{"name":"Denied","message":"Not you"}}"#)
    private static let denied = #"{"message":"Not you","name":"Denied"}"#

    private func settings(
        _ hook: HookServer, _ name: String = "accounts", _ change: (inout HookSettings) -> Void
    ) -> HookSettings {
        var settings = HookSettings(name: name, url: hook.url)
        settings.timeout = .seconds(60)
        change(&settings)
        return settings
    }

    @Test func `asks services that came later about clients that came before`() async throws {
        try await HookServer.with({ _, request in
            request.contains(#""type":"publish""#) ? Self.no : .status(200, #"{"data":"hello"}"#)
        }) { hook in
            try await withServer({ $0.protocolChoice = .v2 }) { server, address in
                let client = try await RawClient.ready(address)
                let late = try await RawClient.open(address)
                try await client.send(all: [
                    #"{"event":"hello","cid":2}"#, ##"{"event":"#publish","data":{"channel":"a"},"cid":3}"##,
                ])
                #expect(try await client.nextText() == #"{"rid":3}"#)

                let calls = self.settings(hook) { $0.procedures = ["hello"] }
                let decides = self.settings(hook, "rooms") { $0.decides = [.publish] }
                try await server.reload(permissions: [], hooks: [calls, decides])
                try await client.send(#"{"event":"hello","cid":4}"#)
                #expect(try await client.nextText() == #"{"rid":4,"data":"hello"}"#)
                for (client, callID) in [(client, 5), (late, 6), (try await RawClient.ready(address), 7)] {
                    if client === late {
                        try await late.send(##"{"event":"#handshake","cid":1}"##)
                        #expect(try await late.nextText().hasPrefix(#"{"rid":1,"data":{"id":""#))
                    }
                    try await client.publish("a", "1", callID: callID)
                    #expect(try await client.nextText() == #"{"rid":\#(callID),"error":\#(Self.denied)}"#)
                }
                #expect(server.hooks.map(\.answered) == [1, 3])

                // The one that stays as it is keeps its counts, the one that changed begins anew, and what nobody decides about passes.
                let other = self.settings(hook, "rooms") {
                    $0.decides = [.publish]
                    $0.channels = ["b"]
                }
                try await server.reload(permissions: [], hooks: [other, calls])
                #expect(server.hooks.map(\.name) == ["rooms", "accounts"])
                #expect(server.hooks.map(\.answered) == [0, 1])
                try await client.publish("a", "1", callID: 8)
                #expect(try await client.nextText() == #"{"rid":8}"#)

                try await server.reload(permissions: [], hooks: [])
                #expect(server.hooks.isEmpty)
                try await client.publish("b", "1", callID: 9)
                #expect(try await client.nextText() == #"{"rid":9}"#)
            }
        }
    }

    @Test func `forgets what the permissions before them had decided`() async throws {
        func rule(_ publish: Grant) -> [PermissionRule] {
            [PermissionRule(channels: "**", subscribe: .everyone, publish: publish)]
        }
        try await withServer({ settings in
            settings.protocolChoice = .v2
            settings.permissions = rule(.everyone)
        }) { server, address in
            let client = try await RawClient.ready(address)
            try await client.subscribe("a")
            try await client.publish("a", "1", callID: 3)
            _ = try await client.nextText("answer") { $0 == #"{"rid":3}"# }
            try await server.reload(permissions: rule(.nobody), hooks: [])
            try await client.publish("a", "2", callID: 4)
            let refusal = try await client.nextText("refusal") { $0.hasPrefix(#"{"rid":4"#) }
            #expect(refusal.contains("No permission to publish on channel: a"), "\(refusal)")
            // What was subscribed to stays, and a pattern that is none changes nothing.
            server.broker.publish("a", JSONText(string: "from us"))
            #expect(try await client.nextText() == RawClient.delivery("a", #""from us""#))
            await #expect(throws: GlobError.self) {
                try await server.reload(
                    permissions: [PermissionRule(channels: "", subscribe: .nobody, publish: .everyone)], hooks: [])
            }
            try await client.publish("a", "3", callID: 5)
            #expect(try await client.nextText().hasPrefix(#"{"rid":5,"error":"#))
        }
    }

    @Test func `still asks the program about what subscribers are sent, on all channels of the program's`() async throws
    {
        let application = Application { app in
            app.middleware.outbound = { $0.data?.description == "1" ? .block : .allow }
        }
        try await HookServer.with({ _ in .status(204) }) { hook in
            let room = self.settings(hook) {
                $0.decides = [.publish]
                $0.channels = ["room"]
            }
            try await withServer(
                application: application,
                { settings in
                    settings.protocolChoice = .v2
                    settings.hooks = [room]
                }
            ) { server, address in
                let client = try await RawClient.ready(address)
                for channel in ["room", "other"] { try await client.subscribe(channel) }
                for channel in ["room", "other"] {
                    server.broker.publish(ChannelName(channel), JSONText(alreadyValid: Array("1".utf8)))
                    server.broker.publish(ChannelName(channel), JSONText(alreadyValid: Array("2".utf8)))
                    #expect(try await client.nextText() == RawClient.delivery(channel, "2"))
                }
                #expect(server.counters.deliveriesBlocked == 2)
            }
        }
    }
}
