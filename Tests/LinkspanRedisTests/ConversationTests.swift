import LinkspanBridgeKit
import NIOCore
import Testing

@testable import LinkspanRedis

@Suite struct LoginTests {
    private func login(username: String? = "bridge", database: Int = 0) -> Login {
        Login(username: username, password: Secret("s3cret"), database: database, clientName: "linkspan:a:b")
    }

    @Test func `it says who we are, and asks a first question`() throws {
        var login = self.login(database: 3)
        #expect(
            login.commands == [
                ["AUTH", "bridge", "s3cret"], ["SELECT", "3"], ["CLIENT", "SETNAME", "linkspan:a:b"], ["PING"],
                ["INFO", "server"],
            ])
        for _ in 0..<4 { #expect(try login.replyReceived(isError: false, texts: ["OK"]) == nil) }
        let facts = try login.replyReceived(isError: false, texts: ["# Server\r\nredis_version:7.0.15\r\nos:Linux\r\n"])
        #expect(facts == UpstreamFacts(product: "Redis 7.0.15"))
    }

    @Test(arguments: [
        ("WRONGPASS invalid username-password pair or user is disabled.", UpstreamError.Code.refused),
        ("ERR AUTH <password> called without any password configured for the default user.", .refused),
        ("LOADING Redis is loading the dataset in memory", .unreachable),
        ("ERR max number of clients reached", .unreachable),
    ])
    func `an error to AUTH ends it`(text: String, code: UpstreamError.Code) throws {
        var login = self.login()
        let error = #expect(throws: UpstreamError.self) { _ = try login.replyReceived(isError: true, texts: [text]) }
        #expect(error?.code == code)
        #expect(error?.message.contains(text) == true)
    }

    @Test func `what a user may not do and we do not need is passed over`() throws {
        var login = self.login()
        #expect(try login.replyReceived(isError: false, texts: ["OK"]) == nil)
        #expect(try login.replyReceived(isError: true, texts: ["NOPERM no client command"]) == nil)
        #expect(try login.replyReceived(isError: true, texts: ["MISCONF cannot write"]) == nil)
        #expect(try login.replyReceived(isError: true, texts: ["NOPERM no info command"]) == UpstreamFacts())
    }
}

@Suite struct EgressWindowTests {
    private final class Log {
        var confirmed: [ClosedRange<UInt64>] = []
    }

    @Test func `replies confirm in ranges, around what is refused`() {
        var window = EgressWindow(messageLimit: 10, byteLimit: 1000)
        let log = Log()
        for ticket in 1...5 as ClosedRange<UInt64> { window.sent(ticket, bytes: 10) }
        window.sentAside()
        window.sent(9, bytes: 10)
        #expect(window.room == 4)
        let confirm: (ClosedRange<UInt64>) -> Void = { log.confirmed.append($0) }
        for _ in 0..<2 { #expect(window.replyReceived(.success, confirm: confirm) == .none) }
        let refusal = EgressWindow.Reply.failure(ErrorReply(text: "NOPERM no"))
        #expect(window.replyReceived(refusal, confirm: confirm) == .refuse(3, .forbidden))
        for _ in 0..<2 { #expect(window.replyReceived(.success, confirm: confirm) == .none) }
        // The answer to PING, an error at that.
        #expect(window.replyReceived(.failure(ErrorReply(text: "MISCONF disk")), confirm: confirm) == .none)
        #expect(window.replyReceived(.success, confirm: confirm) == .none)
        window.takeConfirmed(confirm)
        #expect(log.confirmed == [1...2, 4...5, 9...9])
        #expect(window.isEmpty && window.room == 10 && window.bytes == 0)
        #expect(window.replyReceived(.success, confirm: confirm) == .unexpected)
    }

    @Test func `bytes close it as messages do`() {
        var window = EgressWindow(messageLimit: 10, byteLimit: 100)
        window.sent(1, bytes: 99)
        #expect(window.room == 9)
        window.sent(2, bytes: 500)
        #expect(window.room == 0)
    }

    @Test(arguments: [
        ("NOPERM x", EgressWindow.Outcome.refuse(1, .forbidden)),
        ("ERR wrong number of arguments", .refuse(1, .rejected)),
        ("OOM command not allowed", .end(.stalled)), ("MISCONF disk", .end(.stalled)),
        ("READONLY replica", .end(.lost)),
        ("LOADING", .end(.lost)), ("CLUSTERDOWN", .end(.lost)), ("NOAUTH", .end(.refused)),
        ("WRONGTYPE Operation against a key", .refuse(1, .rejected)),
    ])
    func `errors are refusals of one message or the end`(text: String, outcome: EgressWindow.Outcome) {
        var window = EgressWindow(messageLimit: 10, byteLimit: 100)
        window.sent(1, bytes: 1)
        #expect(window.replyReceived(.failure(ErrorReply(text: text)), confirm: { _ in }) == outcome)
    }
}

@Suite struct LivenessTests {
    private func at(_ seconds: Int64) -> NIODeadline { .uptimeNanoseconds(UInt64(seconds) * 1_000_000_000) }

    @Test func `it asks at its interval, and silence has a limit`() {
        var liveness = Liveness(interval: .seconds(5), timeout: .seconds(10), now: self.at(0))
        #expect(liveness.resolution == .seconds(1))
        #expect(liveness.check(at: self.at(4)) == .fine)
        #expect(liveness.check(at: self.at(5)) == .ping)
        #expect(liveness.check(at: self.at(6)) == .fine)
        liveness.heard(at: self.at(6))
        #expect(liveness.check(at: self.at(10)) == .ping)
        #expect(liveness.check(at: self.at(15)) == .ping)
        #expect(liveness.check(at: self.at(16)) == .silent(.seconds(10)))
    }

    @Test func `a pause of ours is not silence`() {
        var liveness = Liveness(interval: .seconds(5), timeout: .seconds(10), now: self.at(0))
        liveness.paused()
        #expect(liveness.check(at: self.at(100)) == .fine)
        liveness.resumed(at: self.at(100))
        #expect(liveness.check(at: self.at(101)) == .ping)
        #expect(liveness.check(at: self.at(110)) == .silent(.seconds(10)))
    }
}
