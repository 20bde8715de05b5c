internal import CLinkspanMosquitto
internal import Glibc
internal import LinkspanBridgeKit

/// A return code of libmosquitto that is not success.
struct MosquittoError: Error, CustomStringConvertible {
    /// `enum mosq_err_t` of mosquitto.h.
    var code: Int32
    /// `errno` right after the call; meaningful for the codes that say so.
    var systemError: Int32

    init(_ code: Int32) {
        self.systemError = errno
        self.code = code
    }

    var description: String {
        let text = Self.texts[self.code] ?? "unknown error"
        return switch self.code {
        case Code.system where self.systemError != 0:
            "\(Self.systemText(self.systemError)) (libmosquitto code \(self.code), errno \(self.systemError))"
        case Code.lookup:
            "\(String(cString: gai_strerror(self.systemError))) (libmosquitto code \(self.code))"
        default:
            "\(text) (libmosquitto code \(self.code))"
        }
    }

    static func systemText(_ number: Int32) -> String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
            // The XSI variant of Glibc's module fills the buffer and returns a number; on failure the buffer stays empty.
            buffer[0] = 0
            _ = strerror_r(number, buffer.baseAddress!, buffer.count)
            return String(cString: buffer.baseAddress!)
        }
    }

    enum Code {
        static let outOfMemory: Int32 = 1
        static let invalid: Int32 = 3
        static let noConnection: Int32 = 4
        static let refused: Int32 = 5
        static let lost: Int32 = 7
        static let tls: Int32 = 8
        static let payloadSize: Int32 = 9
        static let system: Int32 = 14
        static let lookup: Int32 = 15
        static let malformedText: Int32 = 18
        static let keepalive: Int32 = 19
        static let tlsHandshake: Int32 = 23
        static let oversizedPacket: Int32 = 25
    }

    /// Our own words: `mosquitto_strerror` of 2.0.11 calls code 19 an unknown error.
    private static let texts: [Int32: String] = [
        1: "out of memory",
        2: "the broker broke the protocol",
        3: "invalid argument",
        4: "the connection was refused or closed",
        5: "the connection was refused",
        6: "not found",
        7: "the connection was lost",
        8: "TLS failed",
        9: "the payload is too large",
        10: "not supported by this libmosquitto",
        11: "authentication failed",
        12: "forbidden by the access list",
        13: "unknown error",
        14: "system error",
        15: "the host name was not found",
        16: "the proxy failed",
        18: "malformed UTF-8",
        19: "no answer within the keepalive time",
        20: "the host name was not found",
        21: "malformed packet",
        22: "duplicate property",
        23: "the TLS handshake failed",
        24: "the QoS is not supported by the broker",
        25: "the packet is larger than the broker takes",
        26: "OCSP check failed",
        27: "timed out",
        28: "the broker does not keep retained messages",
        29: "invalid topic alias",
        30: "administrative action",
        31: "already exists",
    ]
}
