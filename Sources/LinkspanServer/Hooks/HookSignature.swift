internal import JWTKit
internal import LinkspanBridgeKit
internal import LinkspanCore

/// Signs requests so that a service knows who asks, and when: HMAC-SHA256 over `<seconds since 1970>.<body>`.
struct HookSignature: Sendable {
    static let timestampField = "Linkspan-Timestamp"
    static let signatureField = "Linkspan-Signature"

    private let algorithm: any JWTAlgorithm

    init(secret: Secret) async throws {
        self.algorithm = try await TokenKeys.hmac(Array(secret.value.utf8), "HS256")
    }

    /// In lower-case hexadecimal.
    func sign(_ body: [UInt8], timestamp: Int64) throws -> String {
        let signature = try self.algorithm.sign(Array("\(timestamp).".utf8) + body)
        return signature.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }
}
