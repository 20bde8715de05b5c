/// Names of the fields beside a payload that carry an ``EnvelopeHeader``: AMQP headers, MQTT 5 user properties, fields of Redis stream
/// entries. docs/envelope.md has their values.
package enum HeaderKey {
    /// The whole header as ``HeaderText`` writes it; what instances send.
    package static let header: StaticString = "ls-header"

    // The same as five fields, which is for programs that rather write those.
    package static let origin: StaticString = "ls-origin"
    package static let epoch: StaticString = "ls-epoch"
    package static let sequence: StaticString = "ls-seq"
    package static let hops: StaticString = "ls-hops"
    package static let acceptedAt: StaticString = "ls-at"
}
