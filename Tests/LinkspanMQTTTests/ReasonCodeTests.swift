import LinkspanBridgeKit
import Testing

@testable import LinkspanMQTT

struct ReasonCodeTests {
    @Test func `answers to publishes are told apart`() {
        for lossAllowed in [true, false] {
            #expect(Self.verdict(0x00, lossAllowed) == .taken)
            #expect(Self.verdict(0x10, lossAllowed) == .taken)
            #expect(Self.verdict(0x87, lossAllowed) == .refused(.forbidden))
            #expect(Self.verdict(0x90, lossAllowed) == .refused(.badName))
            #expect(Self.verdict(0x95, lossAllowed) == .refused(.tooLarge))
            #expect(Self.verdict(0x99, lossAllowed) == .refused(.rejected))
        }
    }

    private static func verdict(_ reason: Int32, _ isLossAllowed: Bool, isMandatory: Bool = false) -> PublishVerdict {
        PublishVerdict(reason: reason, isLossAllowed: isLossAllowed, isMandatory: isMandatory)
    }

    @Test func `what no subscription matches is refused only where that was asked for`() {
        #expect(Self.verdict(0x10, false, isMandatory: true) == .refused(.unroutable))
        #expect(Self.verdict(0x00, false, isMandatory: true) == .taken)
    }

    @Test(arguments: [0x80, 0x83, 0x91, 0x97, 0xEE] as [Int32])
    func `a refusal for now ends the conversation only where nothing may be lost`(reason: Int32) {
        #expect(Self.verdict(reason, true) == .refused(.rejected))
        #expect(Self.verdict(reason, false) == .later(ReasonCode.text(reason)))
    }

    @Test(
        arguments: [
            (0x84, .protocolViolation), (0x85, .refused), (0x86, .refused), (0x87, .refused), (0x88, .unreachable),
            (0x89, .unreachable), (0x8A, .refused), (0x9F, .unreachable), (0xEE, .refused),
        ] as [(Int32, UpstreamError.Code)])
    func `refused connections of MQTT 5 are told apart`(reason: Int32, code: UpstreamError.Code) {
        #expect(ReasonCode.refusal(reason, isVersion5: true).code == code)
    }

    @Test(
        arguments: [
            (1, .protocolViolation), (2, .refused), (3, .unreachable), (4, .refused), (5, .refused),
            (77, .protocolViolation),
        ] as [(Int32, UpstreamError.Code)])
    func `refused connections of MQTT 3 are told apart`(reason: Int32, code: UpstreamError.Code) {
        #expect(ReasonCode.refusal(reason, isVersion5: false).code == code)
    }

    @Test(
        arguments: [
            (0x8B, .lost), (0x8D, .silent), (0x8E, .takenOver), (0x87, .refused), (0x82, .protocolViolation),
            (0xEE, .lost),
        ] as [(Int32, UpstreamError.Code)])
    func `disconnections by the broker are told apart`(reason: Int32, code: UpstreamError.Code) {
        #expect(ReasonCode.disconnection(reason).code == code)
    }

    @Test func `codes are shown with number and words`() {
        #expect(ReasonCode.text(0x8E) == "session taken over (0x8E)")
        #expect(ReasonCode.text(0xEE) == "reason 0xEE")
        #expect("\(MosquittoError(19))" == "no answer within the keepalive time (libmosquitto code 19)")
        #expect("\(MosquittoError(77))" == "unknown error (libmosquitto code 77)")
    }

    @Test func `three quick losses in a row are a suspected take-over`() {
        let memory = SessionMemory()
        let lost = UpstreamError(.lost, "gone")
        func judge(_ error: UpstreamError, _ seconds: Int) -> UpstreamError.Code {
            memory.judge(error, after: .seconds(seconds), clientID: "linkspan-a-b").code
        }
        #expect(judge(lost, 1) == .lost)
        #expect(judge(lost, 1) == .lost)
        #expect(judge(lost, 1) == .takenOver)
        #expect(judge(lost, 60) == .lost)
        #expect(judge(lost, 1) == .lost)
        #expect(judge(UpstreamError(.stalled, "x"), 1) == .stalled)
        #expect(judge(lost, 1) == .lost)
    }
}
