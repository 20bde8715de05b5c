internal import CLinkspanRabbitMQ

extension amqp_bytes_t {
    /// - Precondition: `buffer` outlives the use.
    init(_ buffer: UnsafeRawBufferPointer) {
        self.init(len: buffer.count, bytes: UnsafeMutableRawPointer(mutating: buffer.baseAddress))
    }

    init(_ text: StaticString) {
        self.init(len: text.utf8CodeUnitCount, bytes: UnsafeMutableRawPointer(mutating: text.utf8Start))
    }

    var buffer: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: self.bytes, count: self.len) }

    var string: String { String(decoding: self.buffer, as: UTF8.self) }

    func equals(_ text: StaticString) -> Bool {
        self.len == text.utf8CodeUnitCount
            && self.buffer.elementsEqual(UnsafeRawBufferPointer(start: text.utf8Start, count: self.len))
    }
}

/// The bytes of a name that many calls need, at a fixed address.
struct PinnedText: ~Copyable {
    private let storage: UnsafeMutableRawBufferPointer

    init(_ text: String) {
        self.storage = UnsafeMutableRawBufferPointer.allocate(byteCount: text.utf8.count, alignment: 1)
        self.storage.copyBytes(from: text.utf8)
    }

    deinit {
        self.storage.deallocate()
    }

    /// Valid as long as `self` lives.
    var bytes: amqp_bytes_t { amqp_bytes_t(UnsafeRawBufferPointer(self.storage)) }
}

extension String {
    /// Its UTF-8 bytes for the time of `body`, without a copy when the string is native.
    func withAMQPBytes<Result>(_ body: (amqp_bytes_t) -> Result) -> Result {
        var copy = self
        return copy.withUTF8 { body(amqp_bytes_t(UnsafeRawBufferPointer($0))) }
    }
}
