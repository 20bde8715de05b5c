import LinkspanBridgeKit
import LinkspanCore
import LinkspanWire
import Logging
import NIOHTTP1
import Synchronization
import TestSupport
import Testing

@testable import LinkspanServer

@Suite struct `A hook` {
    private static var request: HookRequest {
        var request = HookRequest(
            hook: "accounts", question: .procedure(name: "login", data: JSONText(string: "ann")),
            client: HookRequest.Client(id: "s1", address: "10.0.0.7", claims: nil))
        request.id = "r1"
        return request
    }

    /// Runs `body` with a service that answers as `answers` says, and with a client of it.
    private func withHook(
        _ answers: @escaping @Sendable (_ index: Int) -> HookServer.Answer,
        _ change: (inout HookSettings) -> Void = { _ in },
        clock: @escaping @Sendable () -> ContinuousClock.Instant = { ContinuousClock.now },
        _ body: (HookServer, HookClient) async throws -> Void
    ) async throws {
        try await HookServer.with(answers) { server in
            var settings = HookSettings(name: "accounts", url: server.url)
            settings.backoff = .milliseconds(1)
            settings.timeout = .seconds(60)
            change(&settings)
            let client = try await HookClient(settings: settings, logger: .quiet, clock: clock)
            do {
                try await body(server, client)
            } catch {
                await client.stop()
                throw error
            }
            await client.stop()
        }
    }

    private func failure(_ client: HookClient) async -> HookFailure? {
        do throws(HookFailure) {
            _ = try await client.ask(Self.request)
            return nil
        } catch {
            return error
        }
    }

    @Test func `sends the call, and takes data and token from the answer`() async throws {
        try await self.withHook({ _ in .status(200, #"{"data":{"ok":true},"setAuthToken":{"sub":"ann"}}"#) }) {
            server, client in
            let answer = try await client.ask(Self.request)
            #expect(answer.data?.description == #"{"ok":true}"#)
            #expect(answer.token?.string("sub") == "ann")
            #expect(answer.error == nil)
            let sent = try #require(server.received.first)
            #expect(
                sent.body
                    == #"{"id":"r1","hook":"accounts","type":"procedure","name":"login","data":"ann","#
                    + #""socket":{"id":"s1","address":"10.0.0.7","claims":null}}"#)
            #expect(sent.head.method == .POST)
            #expect(sent.head.headers["Linkspan-Request"] == ["r1"])
            #expect(!sent.head.headers.contains(name: HookSignature.signatureField))
            #expect(client.status.answered == 1)
        }
    }

    @Test func `passes on the error of the service with its fields`() async throws {
        try await self.withHook({ _ in
            .status(200, #"{"error":{"name":"AuthError","message":"Who?","left":2,"why":"no"}}"#)
        }) {
            _, client in
            let answer = try await client.ask(Self.request)
            let fields = [
                ProtocolError.Field("left", .integer(2)), .init("why", .json(JSONText(string: "no"))),
            ]
            #expect(answer.error == ProtocolError(name: "AuthError", message: "Who?", fields: fields))
        }
    }

    @Test func `signs what a service with the secret can verify`() async throws {
        try await self.withHook({ _ in .status(204) }, { $0.secret = Secret("key") }) { server, client in
            _ = try await client.ask(Self.request)
            let sent = try #require(server.received.first)
            let timestamp = try #require(sent.head.headers[HookSignature.timestampField].first.flatMap { Int64($0) })
            let signature = try await HookSignature(secret: Secret("key"))
                .sign(Array(sent.body.utf8), timestamp: timestamp)
            #expect(sent.head.headers[HookSignature.signatureField] == [signature])
        }
        // python3: hmac.new(b"key", b"1700000000.{}", "sha256").hexdigest()
        let known = try await HookSignature(secret: Secret("key")).sign(Array("{}".utf8), timestamp: 1_700_000_000)
        #expect(known == "9d713ed406bb7076d4123f0dc2c39d2df5c654ed4b0cd56b52c8b4c940bd63ae")
    }

    @Test(arguments: [
        (HookServer.Answer.status(500), HookFailure.serverError), (.status(404), .rejected), (.hangUp, .unreachable),
        (.redirect, .rejected), (.status(200, "{"), .malformed), (.status(200, "[1]"), .malformed),
        (.status(200, #"{"error":1}"#), .malformed), (.status(200, #"{"error":{"name":"A"}}"#), .malformed),
        (.status(200, #"{"setAuthToken":"ann"}"#), .malformed), (.status(200, #"{"eror":{}}"#), .malformed),
        (.status(200, String(repeating: " ", count: HookClient.answerLimit + 1)), .malformed),
    ])
    func `fails with a reason that is counted`(answer: HookServer.Answer, reason: HookFailure) async throws {
        try await self.withHook({ _ in answer }) { _, client in
            #expect(await self.failure(client) == reason)
            #expect(client.status.failures == [reason: 1])
            #expect(client.status.asked == 1)
        }
    }

    @Test func `waits no longer than its timeout for a service that is silent`() async throws {
        try await self.withHook({ _ in .silence }, { $0.timeout = .milliseconds(200) }) { _, client in
            #expect(await self.failure(client) == .timedOut)
            #expect(client.status.failures == [.timedOut: 1])
        }
    }

    @Test func `is not to blame for clients that leave before the answer`() async throws {
        try await self.withHook({ $0 == 0 ? .silence : .status(204) }, { $0.breakerFailures = 1 }) { server, client in
            let leaving = Task { await self.failure(client) }
            try await server.asked(1)
            leaving.cancel()
            #expect(await leaving.value == .abandoned)
            #expect(!client.status.isLeftAlone)
            #expect(await self.failure(client) == nil)
            #expect(client.status.failures == [.abandoned: 1])
            #expect((client.status.asked, client.status.answered, client.status.repeated) == (2, 1, 0))
        }
    }

    @Test func `says at once when nobody listens`() async throws {
        var url = ""
        try await HookServer.with { _ in
            .silence
        } _: {
            url = $0.url
        }
        let client = try await HookClient(settings: HookSettings(name: "accounts", url: url), logger: .quiet)
        #expect(await self.failure(client) == .unreachable)
        await client.stop()
    }

    @Test func `asks over TLS only whom its authorities vouch for`() async throws {
        let certificates = try await TestCertificates.make()
        let files = CertificateFiles(certificate: certificates.server.certificate, key: certificates.server.key)
        let context = try ServerCertificate(files).context
        try await HookServer.with({ _, _ in .status(204) }, tls: context) { server in
            for (authority, reason) in [
                (certificates.authority, nil), (certificates.otherAuthority, HookFailure.unreachable),
            ] {
                var settings = HookSettings(name: "accounts", url: server.url)
                settings.timeout = .seconds(60)
                settings.authorities = authority
                let client = try await HookClient(settings: settings, logger: .quiet)
                let failure = await self.failure(client)
                await client.stop()
                #expect(failure == reason)
            }
            #expect(server.received.count == 1)
        }
    }

    @Test func `takes no token from a service that may give none`() async throws {
        try await self.withHook({ _ in .status(200, #"{"setAuthToken":{"sub":"ann"}}"#) }, { $0.givesTokens = false }) {
            _, client in
            #expect(await self.failure(client) == .malformed)
        }
    }

    @Test func `tries again where the service may not have been reached, under the same id`() async throws {
        try await self.withHook({ $0 == 0 ? .hangUp : $0 == 1 ? .status(503) : .status(204) }, { $0.retries = 2 }) {
            server, client in
            #expect(await self.failure(client) == nil)
            let ids = server.received.map { $0.head.headers["Linkspan-Request"] }
            #expect(ids == [["r1"], ["r1"], ["r1"]])
            #expect(client.status.repeated == 2)
        }
        try await self.withHook({ _ in .status(500) }, { $0.retries = 2 }) { server, client in
            #expect(await self.failure(client) == .serverError)
            #expect(server.received.count == 1)
        }
    }

    @Test func `leaves a service alone that failed, and comes back when it answers`() async throws {
        let now = Mutex(ContinuousClock.now)
        try await self.withHook(
            { $0 < 2 ? .status(500) : .status(204) },
            {
                $0.breakerFailures = 2
                $0.breakerPause = .seconds(60)
            }, clock: { now.withLock { $0 } }
        ) { server, client in
            #expect(await self.failure(client) == .serverError)
            #expect(await self.failure(client) == .serverError)
            #expect(await self.failure(client) == .breakerOpen)
            #expect(client.status.isLeftAlone)
            #expect(server.received.count == 2)
            now.withLock { $0 += .seconds(60) }
            #expect(await self.failure(client) == nil)
            #expect(!client.status.isLeftAlone)
            #expect(await self.failure(client) == nil)
        }
    }

    @Test func `is not closed to others by what the service refuses to one client`() async throws {
        try await self.withHook({ $0 < 3 ? .status(400) : .status(204) }, { $0.breakerFailures = 1 }) { _, client in
            for _ in 0..<3 { #expect(await self.failure(client) == .rejected) }
            #expect(await self.failure(client) == nil)
        }
    }

    @Test func `lets no more wait than its queue holds`() async throws {
        try await self.withHook(
            { _ in .silence },
            {
                $0.concurrency = 1
                $0.queue = 1
            }
        ) { server, client in
            await withTaskGroup(of: HookFailure?.self) { group in
                // One is at the service and one waits, so the third finds no place.
                for _ in 0..<3 { group.addTask { await self.failure(client) } }
                #expect(await group.next() == .queueFull)
                #expect(client.status.underWay == 1)
                #expect(client.status.waiting == 1)
                await client.stop()
                for await reason in group { #expect(reason == .unreachable) }
            }
            #expect(client.status.asked == 3)
        }
    }
}
