internal import LinkspanBridgeKit

/// What a broker's answer to a publish means for the message (MQTT 5, 3.4.2.1 and 3.5.2.1).
enum PublishVerdict: Equatable {
    case taken
    case refused(EgressRefusal)
    /// Refused for now. The conversation ends, so that the host sends the message again, in its place, after its pause.
    case later(String)

    /// - Parameters:
    ///   - isLossAllowed: at `at_most_once` a message that is refused for now is counted as rejected: ending the conversation would cost
    ///     the others under way.
    ///   - isMandatory: whether a message that no subscription matches counts as refused. A broker may leave that untold.
    init(reason: Int32, isLossAllowed: Bool, isMandatory: Bool) {
        switch reason {
        case 0x00: self = .taken
        case 0x10: self = isMandatory ? .refused(.unroutable) : .taken
        case 0x87: self = .refused(.forbidden)
        case 0x90: self = .refused(.badName)
        case 0x95: self = .refused(.tooLarge)
        case 0x99: self = .refused(.rejected)
        default: self = isLossAllowed ? .refused(.rejected) : .later(ReasonCode.text(reason))
        }
    }
}

/// Reason codes of MQTT 5 (2.4) and return codes of MQTT 3.1.1 (3.2.2.3) in words.
enum ReasonCode {
    static func text(_ code: Int32) -> String {
        let hexadecimal = String(code, radix: 16, uppercase: true)
        let number = "0x" + (code < 16 ? "0" : "") + hexadecimal
        return self.names[code].map { "\($0) (\(number))" } ?? "reason \(number)"
    }

    /// Why the broker did not accept the connection; `code` is not 0.
    static func refusal(_ code: Int32, isVersion5: Bool) -> UpstreamError {
        isVersion5 ? Self.refusal5(code) : Self.refusal311(code)
    }

    private static func refusal311(_ code: Int32) -> UpstreamError {
        switch code {
        case 1: UpstreamError(.protocolViolation, "the broker does not speak MQTT 3.1.1 (return code 1)")
        case 2: UpstreamError(.refused, "the broker refused the client identifier (return code 2)")
        case 3: UpstreamError(.unreachable, "the broker is not available now (return code 3)")
        case 4: UpstreamError(.refused, "bad user name or password (return code 4)")
        case 5: UpstreamError(.refused, "not authorized (return code 5)")
        default:
            UpstreamError(.protocolViolation, "the broker refused the connection with the unknown return code \(code)")
        }
    }

    private static func refusal5(_ code: Int32) -> UpstreamError {
        let text = "the broker refused the connection: \(Self.text(code))"
        switch code {
        case 0x81, 0x82, 0x84: return UpstreamError(.protocolViolation, text)
        case 0x88, 0x89, 0x97, 0x9F: return UpstreamError(.unreachable, text)
        default: return UpstreamError(.refused, text)
        }
    }

    /// Why the broker ended a conversation that was up (MQTT 5, 3.14.2.1).
    static func disconnection(_ code: Int32) -> UpstreamError {
        let text = "the broker disconnected us: \(Self.text(code))"
        switch code {
        case 0x81, 0x82, 0x93, 0x94, 0x95, 0x99, 0x9A, 0x9B: return UpstreamError(.protocolViolation, text)
        case 0x87: return UpstreamError(.refused, text)
        case 0x8D: return UpstreamError(.silent, text)
        case 0x8E: return UpstreamError(.takenOver, text)
        default: return UpstreamError(.lost, text)
        }
    }

    private static let names: [Int32: String] = [
        0x00: "normal disconnection", 0x80: "unspecified error", 0x81: "malformed packet", 0x82: "protocol error",
        0x83: "implementation specific error", 0x84: "unsupported protocol version",
        0x85: "client identifier not valid", 0x86: "bad user name or password", 0x87: "not authorized",
        0x88: "server unavailable", 0x89: "server busy", 0x8A: "banned", 0x8B: "server shutting down",
        0x8C: "bad authentication method", 0x8D: "keep alive timeout", 0x8E: "session taken over",
        0x8F: "topic filter invalid", 0x90: "topic name invalid", 0x91: "packet identifier in use",
        0x93: "receive maximum exceeded", 0x94: "topic alias invalid", 0x95: "packet too large",
        0x96: "message rate too high", 0x97: "quota exceeded", 0x98: "administrative action",
        0x99: "payload format invalid", 0x9A: "retain not supported", 0x9B: "QoS not supported",
        0x9C: "use another server", 0x9D: "server moved", 0x9E: "shared subscriptions not supported",
        0x9F: "connection rate exceeded", 0xA0: "maximum connect time",
        0xA1: "subscription identifiers not supported", 0xA2: "wildcard subscriptions not supported",
    ]
}
