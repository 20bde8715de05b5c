internal import CLinkspanRabbitMQ
internal import LinkspanBridgeKit

/// Why the upstream closed an AMQP channel or a connection.
struct Closure: Sendable, Equatable {
    /// AMQP 0-9-1, 1.1: reply codes.
    var code: Int
    var text: String
    /// Class and method of the request that it blames, such as 60 and 40 for `basic.publish`; zero for none.
    var classID: Int
    var methodID: Int

    var blamesPublish: Bool { self.classID == 60 && self.methodID == 40 }

    static let accessRefused = 403
    static let notFound = 404
    static let resourceLocked = 405
    static let preconditionFailed = 406

    /// The routing key that RabbitMQ names in "access to topic 'key' in exchange ...", when the refusal concerns one key only.
    var forbiddenTopic: String? {
        guard self.code == Self.accessRefused, let start = self.text.firstRange(of: "topic '"),
            let end = self.text[start.upperBound...].firstRange(of: "' in exchange '")
        else { return nil }
        return String(self.text[start.upperBound..<end.lowerBound])
    }
}

/// How a request to the upstream failed.
enum RabbitFailure: Error {
    /// The AMQP channel was closed; the connection lives.
    case channelClosed(Closure)
    /// The connection is of no more use.
    case ended(UpstreamError)
}

extension UpstreamError {
    /// Explains a status of librabbitmq (`amqp_status_enum` in amqp.h).
    init(status: Int32, during attempt: String) {
        let code: Code =
            switch amqp_status_enum(rawValue: status) {
            case AMQP_STATUS_HEARTBEAT_TIMEOUT, AMQP_STATUS_TIMEOUT: .silent
            case AMQP_STATUS_HOSTNAME_RESOLUTION_FAILED: .unreachable
            case AMQP_STATUS_SSL_HOSTNAME_VERIFY_FAILED, AMQP_STATUS_SSL_PEER_VERIFY_FAILED,
                AMQP_STATUS_SSL_CONNECTION_FAILED, AMQP_STATUS_SSL_ERROR:
                .untrusted
            case AMQP_STATUS_BAD_AMQP_DATA, AMQP_STATUS_UNKNOWN_CLASS, AMQP_STATUS_UNKNOWN_METHOD,
                AMQP_STATUS_INCOMPATIBLE_AMQP_VERSION, AMQP_STATUS_WRONG_METHOD, AMQP_STATUS_UNEXPECTED_STATE:
                .protocolViolation
            case AMQP_STATUS_BROKER_UNSUPPORTED_SASL_METHOD: .refused
            default: .lost
            }
        self.init(code, "\(attempt): \(Self.text(of: status))")
    }

    static func text(of status: Int32) -> String {
        "\(String(cString: amqp_error_string2(status))) (librabbitmq code \(status))"
    }

    /// Explains why the upstream closed the connection.
    init(_ closure: Closure, during attempt: String) {
        let code: Code =
            switch closure.code {
            // 402 invalid path, 403 access refused, 530 not allowed: virtual host missing, user or permission refused.
            case 402, 403, 530: .refused
            // 501 frame error to 505 unexpected frame, 540 not implemented.
            case 501...505, 540: .protocolViolation
            default: .lost
            }
        self.init(code, "\(attempt): the upstream closed the connection: \(closure.text) (AMQP code \(closure.code))")
    }

    /// Explains a channel that was closed in answer to something that the conversation cannot do without.
    init(channel closure: Closure, during attempt: String) {
        let code: Code =
            switch closure.code {
            case Closure.accessRefused, Closure.preconditionFailed: .refused
            case Closure.resourceLocked: .takenOver
            default: .lost
            }
        self.init(code, "\(attempt): \(closure.text) (AMQP code \(closure.code))")
    }
}
