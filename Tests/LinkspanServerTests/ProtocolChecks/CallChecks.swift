import LinkspanCore
import LinkspanServer
import LinkspanWire
import TestSupport
import Testing

@Suite struct CallChecks {
    private static let data = [
        "null", "true", "false", "0", "-1.5e3", "9007199254740993", #""""#, #""\u00e9 \ud83d\ude00""#, "[]", "{}",
        #"[1,[2,{"a":null}]]"#, #"{"base64":true,"data":"AAEC/w=="}"#,
    ]

    @Test(arguments: bothProtocols)
    func `12: a call is answered with every kind of data, and no data is not null`(choice: ProtocolChoice) async throws
    {
        try await withApplication(choice) {
            $0.procedure("echo") { $0.data }
        } _: { client, _, _ in
            for (index, data) in Self.data.enumerated() {
                try await client.send(#"{"event":"echo","data":\#(data),"cid":\#(10 + index)}"#)
                try await client.expects(#"{"rid":\#(10 + index),"data":\#(data)}"#)
            }
            try await client.send(#"{"event":"echo","cid":5}"#)
            try await client.expects(#"{"rid":5}"#)
        }
    }

    @Test(arguments: bothProtocols)
    func `12: negative, fractional and large call IDs come back as they went; 0 is one in protocol 2 alone`(
        choice: ProtocolChoice
    ) async throws {
        try await withApplication(choice) {
            $0.procedure("echo") { $0.data }
        } _: { client, _, _ in
            for callID in ["-3", "1.5", "9007199254740993", "1e3"] {
                try await client.send(#"{"event":"echo","data":1,"cid":\#(callID)}"#)
                try await client.expects(#"{"rid":\#(callID),"data":1}"#)
            }
            try await client.send(#"{"event":"echo","data":1,"cid":0}"#)
            if choice == .v2 { try await client.expects(#"{"rid":0,"data":1}"#) }
            try await client.expectsNothing()
        }
    }

    @Test func `12: a call ID in a string is one in protocol 1 alone`() async throws {
        for choice in bothProtocols {
            try await withApplication(choice) {
                $0.procedure("echo") { $0.data }
            } _: { client, _, _ in
                try await client.send(#"{"event":"echo","data":1,"cid":"x-\u00e9"}"#)
                if choice == .v1 { try await client.expects(#"{"rid":"x-\u00e9","data":1}"#) }
                try await client.expectsNothing()
            }
        }
    }

    private struct Internal: Error {
        let secret = "not for clients"
    }

    @Test(arguments: bothProtocols)
    func `13: an error keeps its fields, a plain value stays one, and what went wrong inside is not told`(
        choice: ProtocolChoice
    ) async throws {
        try await withApplication(choice) { app in
            app.procedure("fields") { _ in
                throw ProtocolError(
                    name: "QuotaError", message: "No \"more\"",
                    fields: [.init("left", .integer(0)), .init("until", .json(try json("[1,null]")))])
            }
            app.procedure("text") { _ in throw ErrorValue("just text") }
            app.procedure("number") { _ in throw ErrorValue(try json("7")) }
            app.procedure("internal") { _ in throw Internal() }
        } _: { client, _, _ in
            for (callID, name, error) in [
                (2, "fields", #"{"message":"No \"more\"","name":"QuotaError","left":0,"until":[1,null]}"#),
                (3, "text", #""just text""#), (4, "number", "7"),
                (5, "internal", #"{"message":"The server failed to carry out the call","name":"ApplicationError"}"#),
            ] {
                try await client.send(#"{"event":"\#(name)","cid":\#(callID)}"#)
                try await client.expects(#"{"rid":\#(callID),"error":\#(error)}"#)
            }
        }
    }

    @Test(arguments: bothProtocols)
    func `15: events need no answer, either way`(choice: ProtocolChoice) async throws {
        let heard = EventLog<String>()
        try await withApplication(choice) {
            $0.receiver("note") { heard.append("\($0.data?.description ?? "nothing") of \($0.socket.id)") }
        } _: { client, socket, _ in
            for data in [#","data":[1]"#, #","data":null"#, ""] { try await client.send(#"{"event":"note"\#(data)}"#) }
            let events = try await heard.wait(count: 3, "event")
            #expect(events == ["[1]", "null", "nothing"].map { "\($0) of \(socket.id)" })

            socket.transmit("news", try json(#"{"a":1}"#))
            socket.transmit("news", try json("null"))
            socket.transmit("news")
            try await client.expects(#"{"event":"news","data":{"a":1}}"#)
            try await client.expects(#"{"event":"news","data":null}"#)
            try await client.expects(#"{"event":"news"}"#)
            try await client.expectsNothing()
        }
    }

    @Test(arguments: bothProtocols)
    func `16: calls of the server count from 1 on each connection, and get the client's answer or error`(
        choice: ProtocolChoice
    ) async throws {
        try await withApplication(choice) { client, socket, server in
            async let sum = socket.invoke("add", json("[1,2]"))
            try await client.expects(#"{"event":"add","cid":1,"data":[1,2]}"#)
            try await client.send(#"{"rid":1,"data":3}"#)
            #expect(try await sum == json("3"))

            async let nothing = socket.invoke("nothing")
            try await client.expects(#"{"event":"nothing","cid":2}"#)
            try await client.send(#"{"rid":2}"#)
            #expect(try await nothing == nil)

            for (callID, answer) in [
                (3, #"{"message":"no","name":"Odd","code":7}"#), (4, #"{"message":"plain","name":"Error"}"#),
            ] {
                let call = Task { try await socket.invoke("fail") }
                try await client.expects(#"{"event":"fail","cid":\#(callID)}"#)
                try await client.send(#"{"rid":\#(callID),"error":\#(answer)}"#)
                let error = await #expect(throws: ProtocolError.self) { try await call.value }
                #expect(error?.message == (callID == 3 ? "no" : "plain"))
            }

            let other = try await RawClient.ready(try await server.address)
            let sockets = await server.sockets
            let another = try #require(sockets.first { $0.id != socket.id })
            async let last = another.invoke("first")
            try await other.expects(#"{"event":"first","cid":1}"#)
            try await other.send(#"{"rid":1,"data":true}"#)
            #expect(try await last == json("true"))
        }
    }

    @Test(arguments: bothProtocols)
    func `16: one that nobody answers in time fails, and an answer that comes late means nothing`(
        choice: ProtocolChoice
    ) async throws {
        try await withApplication(
            choice, change: { $0.timing.ackTimeout = .milliseconds(50) }
        ) { client, socket, server in
            let dialect: Dialect = choice == .v1 ? .v1 : .v2
            await #expect(throws: ProtocolError.timedOut(event: "silence", dialect: dialect)) {
                try await socket.invoke("silence")
            }
            try await client.expects(#"{"event":"silence","cid":1}"#)
            try await client.send(#"{"rid":1,"data":"late"}"#)
            try await client.expectsNothing()
            #expect(server.counters.callsTimedOut == 1)

            async let answer = socket.invoke("next", timeout: .seconds(60))
            try await client.expects(#"{"event":"next","cid":2}"#)
            // Of a call that is long over, of one that never was, and of this one.
            try await client.send(all: [#"{"rid":1,"data":1}"#, #"{"rid":77,"data":2}"#, #"{"rid":2,"data":3}"#])
            #expect(try await answer == json("3"))
        }
    }
}
