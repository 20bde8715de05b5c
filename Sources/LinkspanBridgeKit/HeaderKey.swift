/// Names of the AMQP headers that carry an ``EnvelopeHeader``.
enum HeaderKey {
    static let origin: StaticString = "ls-origin"
    static let epoch: StaticString = "ls-epoch"
    static let sequence: StaticString = "ls-seq"
    static let hops: StaticString = "ls-hops"
    static let acceptedAt: StaticString = "ls-at"
}
