internal import HTTPTypes
internal import Hummingbird
internal import LinkspanBridgeKit
internal import LinkspanCore
internal import LinkspanServer
internal import LinkspanWire
internal import NIOCore

/// Which request gets which answer.
struct OperatorRoutes: Sendable {
    let key: Secret
    let limits: LimitSettings
    let broker: Broker
    let revoke: @Sendable (RevokedParty) async -> Int
    let snapshot: @Sendable () -> OperatorSnapshot
    let routes: @Sendable (ChannelName) -> [ChannelRoute]

    /// Beside the data, the body of a publish has a channel and some punctuation.
    private var bodyLimit: Int { self.limits.messageBytes + 2 * self.limits.channelNameBytes + 64 }

    var router: Router<BasicRequestContext> {
        let router = Router(options: .autoGenerateHeadEndpoints)
        router.add(middleware: MethodCheck())
        // Load balancers and supervisors ask these two, and have no key; the answers name no bridge.
        router.get("live") { _, _ in Self.text(.ok, "live\n") }
        router.get("ready") { _, _ in
            self.snapshot().awaited.isEmpty ? Self.text(.ok, "ready\n") : Self.text(.serviceUnavailable, "not ready\n")
        }
        router.get("status") { request, _ in
            guard self.admits(request) else { return Self.keyNeeded }
            return Self.json(.ok, try StatusReport(self.snapshot()).json())
        }
        router.get("metrics") { request, _ in
            guard self.admits(request) else { return Self.keyNeeded }
            return Self.text(.ok, MetricsText(self.snapshot()).text, type: MetricsText.contentType)
        }
        router.get("explain") { request, _ in
            guard self.admits(request) else { return Self.keyNeeded }
            return try self.explain(request)
        }
        router.post("publish") { request, _ in
            guard self.admits(request) else { return Self.keyNeeded }
            return await self.publish(request)
        }
        router.post("revoke") { request, _ in
            guard self.admits(request) else { return Self.keyNeeded }
            return await self.revoke(request)
        }
        return router
    }

    /// Whether the request has `Authorization: Bearer` and the key. Names of schemes are written in any case (RFC 9110, 11.1).
    private func admits(_ request: Request) -> Bool {
        let offered = (request.headers[.authorization] ?? "").split(separator: " ", maxSplits: 1)
        guard offered.count == 2, offered[0].lowercased() == "bearer" else { return false }
        return Self.equal(offered[1], self.key.value)
    }

    private static var keyNeeded: Response {
        var refusal = self.problem(.unauthorized, "the key of server.operator is needed")
        refusal.headers[.wwwAuthenticate] = "Bearer"
        return refusal
    }

    /// Takes as long for a key that is nearly right as for one that is all wrong.
    private static func equal(_ offered: Substring, _ expected: String) -> Bool {
        let offered = Array(offered.utf8)
        let expected = Array(expected.utf8)
        var difference = offered.count ^ expected.count
        for index in expected.indices {
            difference |= Int(expected[index] ^ (index < offered.count ? offered[index] : 0))
        }
        return difference == 0
    }

    private func explain(_ request: Request) throws -> Response {
        guard let name = request.uri.queryParameters["channel"].map(String.init) else {
            return Self.problem(.badRequest, "the query has no channel")
        }
        guard name.utf8.count <= self.limits.channelNameBytes else {
            return Self.problem(.badRequest, "channel is longer than \(self.limits.channelNameBytes) bytes")
        }
        let channel = ChannelName(name)
        return Self.json(.ok, try ExplainReport(channel, self.routes(channel)).json())
    }

    private func publish(_ request: Request) async -> Response {
        guard self.snapshot().isListening else { return Self.problem(.serviceUnavailable, "the server is not running") }
        let body: [UInt8]
        do throws(BodyProblem) {
            body = try await Self.body(of: request, limit: self.bodyLimit)
        } catch {
            return error.response(tooLarge: "the body is larger than server.limits.message admits")
        }
        do throws(PublishRequest.Problem) {
            let publish = try PublishRequest(body: body, limits: self.limits)
            guard self.broker.exchange(publish.channel, publish.data) else {
                return Self.problem(.serviceUnavailable, "too much is waiting; publish it again later")
            }
            return Self.json(.accepted, Array("{\"accepted\":true}".utf8))
        } catch {
            return Self.problem(error.isTooLarge ? .contentTooLarge : .badRequest, error.reason)
        }
    }

    private func revoke(_ request: Request) async -> Response {
        let body: [UInt8]
        do throws(BodyProblem) {
            body = try await Self.body(of: request, limit: RevokeRequest.bodyLimit)
        } catch {
            return error.response(tooLarge: "the body is larger than \(RevokeRequest.bodyLimit) bytes")
        }
        do throws(RevokeRequest.Problem) {
            let closed = await self.revoke(try RevokeRequest(body: body).party)
            return Self.json(.ok, Array("{\"closed\":\(closed)}".utf8))
        } catch {
            return Self.problem(.badRequest, error.reason)
        }
    }

    // MARK: Bodies

    private enum BodyProblem: Error {
        case tooLarge, interrupted

        func response(tooLarge: String) -> Response {
            switch self {
            case .tooLarge: OperatorRoutes.problem(.contentTooLarge, tooLarge)
            case .interrupted: OperatorRoutes.problem(.badRequest, "the body did not arrive")
            }
        }
    }

    private static func body(of request: Request, limit: Int) async throws(BodyProblem) -> [UInt8] {
        var body: [UInt8] = []
        do {
            for try await part in request.body {
                guard body.count + part.readableBytes <= limit else { throw BodyProblem.tooLarge }
                body.append(contentsOf: part.readableBytesView)
            }
        } catch {
            throw error as? BodyProblem ?? .interrupted
        }
        return body
    }

    fileprivate static func problem(_ status: HTTPResponse.Status, _ reason: String) -> Response {
        var json: [UInt8] = []
        json.put("{\"error\":")
        json.putJSONString(reason)
        json.put("}")
        return self.json(status, json)
    }

    private static func json(_ status: HTTPResponse.Status, _ json: [UInt8]) -> Response {
        Response(
            status: status, headers: [.contentType: "application/json", .cacheControl: "no-store"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: json + [UInt8(ascii: "\n")])))
    }

    private static func text(_ status: HTTPResponse.Status, _ text: String, type: String = "text/plain") -> Response {
        Response(
            status: status, headers: [.contentType: type, .cacheControl: "no-store"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }
}

/// Answers a method that a path does not have with those that it has (RFC 9110, 15.5.6).
private struct MethodCheck: RouterMiddleware {
    typealias Context = BasicRequestContext

    private static let asked: [HTTPRequest.Method] = [.get, .head]
    private static let told: [HTTPRequest.Method] = [.post]
    private static let methods = [
        "live": asked, "ready": asked, "status": asked, "metrics": asked, "explain": asked, "publish": told,
        "revoke": told,
    ]

    func handle(
        _ request: Request, context: BasicRequestContext,
        next: @concurrent (Request, BasicRequestContext) async throws -> Response
    ) async throws -> Response {
        let path = request.uri.path.split(separator: "/").joined(separator: "/")
        guard let methods = Self.methods[path], !methods.contains(request.method) else {
            return try await next(request, context)
        }
        let list = methods.map(\.rawValue).joined(separator: ", ")
        var refusal = OperatorRoutes.problem(.methodNotAllowed, "/\(path) takes \(list)")
        refusal.headers[.allow] = list
        return refusal
    }
}
