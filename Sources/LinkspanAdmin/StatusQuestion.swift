internal import AsyncHTTPClient
public import LinkspanBridgeKit
public import LinkspanCore
internal import NIOCore
internal import NIOHTTP1

/// One question to the operator port of a running instance.
public struct StatusQuestion: Sendable {
    /// Why there is no report.
    public struct Failure: Error {
        public enum Reason: Sendable {
            case unreachable, timedOut, refused, notUnderstood
        }

        public var reason: Reason
        /// For people, without the key.
        public var message: String

        public init(reason: Reason, message: String) {
            self.reason = reason
            self.message = message
        }
    }

    private let address: String
    private let key: String

    private static let timeout = TimeAmount.seconds(5)
    /// A report of a thousand bridges is smaller.
    private static let answerLimit = 8 << 20

    public init(_ settings: OperatorSettings) {
        // Whoever listens on every address listens on loopback too.
        let host = ["0.0.0.0", "::"].contains(settings.host) ? "127.0.0.1" : settings.host
        self.address = (host.contains(":") ? "[\(host)]" : host) + ":\(settings.port)"
        self.key = settings.key.value
    }

    /// - Returns: the JSON of a ``StatusReport``.
    public func ask() async throws(Failure) -> [UInt8] {
        try await self.ask("status")
    }

    /// - Returns: the JSON of an ``ExplainReport``.
    public func explain(_ channel: ChannelName) async throws(Failure) -> [UInt8] {
        try await self.ask("explain?channel=\(Self.escaped(channel.string))")
    }

    /// For a query: everything but letters and digits of ASCII as `%XX`.
    private static func escaped(_ text: String) -> String {
        text.utf8.reduce(into: "") { result, byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                result.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                result += (byte < 16 ? "%0" : "%") + String(byte, radix: 16, uppercase: true)
            }
        }
    }

    private func ask(_ question: String) async throws(Failure) -> [UInt8] {
        var request = HTTPClientRequest(url: "http://\(self.address)/\(question)")
        request.headers.add(name: "Authorization", value: "Bearer \(self.key)")
        let status: HTTPResponseStatus
        let body: [UInt8]
        do {
            let response = try await HTTPClient.shared.execute(request, timeout: Self.timeout)
            status = response.status
            body = Array(try await response.body.collect(upTo: Self.answerLimit).readableBytesView)
        } catch let error as HTTPClientError where [.deadlineExceeded, .readTimeout].contains(error) {
            throw Failure(reason: .timedOut, message: "no answer from \(self.address) in time")
        } catch {
            throw Failure(
                reason: .unreachable,
                message: "no instance reached at \(self.address): is it running, with server.operator?")
        }
        switch status {
        case .ok: return body
        case .unauthorized:
            throw Failure(
                reason: .refused, message: "\(self.address) refused the key: server.operator.key is another one there")
        default:
            throw Failure(
                reason: .notUnderstood, message: "\(self.address) answered with HTTP status \(status.code)")
        }
    }
}
