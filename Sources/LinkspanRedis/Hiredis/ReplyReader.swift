internal import CLinkspanHiredis
internal import LinkspanBridgeKit
internal import NIOCore

/// One element of a reply. A reply is the list of its elements, each array before its own: `*2 $1 a :7` is array, string, integer.
struct ReplyToken: Equatable {
    enum Kind: Equatable {
        case string, array, integer, null, status, error
    }

    var kind: Kind
    /// Where the bytes of a string, status or error begin in the reader's bytes.
    var start: Int
    /// Their number; for an array the number of its elements, for an integer its value.
    var length: Int
}

/// hiredis's RESP parser, with replies laid out flat in memory that is used again and again instead of one allocation per element.
///
/// Confined to one thread or event loop. The bytes come from the upstream and are not trusted: nesting is limited by hiredis to seven
/// levels, arrays and strings by the limits here.
final class ReplyReader {
    /// Longest string in a reply, in bytes.
    static let stringLimit = 64 << 20
    /// Most elements in an array.
    static let elementLimit = 1 << 20
    /// Most bytes and elements that one reply may have in all.
    static let replyLimit = 128 << 20
    static let tokenLimit = 1 << 22

    /// Of the reply that is being handled.
    private(set) var tokens: ContiguousArray<ReplyToken> = []
    /// What the tokens point into.
    private(set) var bytes = ByteBufferAllocator().buffer(capacity: 1 << 14)

    private let raw: UnsafeMutablePointer<redisReader>
    private let functions: UnsafeMutablePointer<redisReplyObjectFunctions>
    /// Where in ``bytes`` the current reply begins; what lies before is kept for ``takeBytes()``.
    private var replyStart = 0
    private var keepsReply = false
    private var violation: String?

    init() {
        self.functions = .allocate(capacity: 1)
        self.functions.initialize(
            to: redisReplyObjectFunctions(
                createString: replyString, createArray: replyArray, createInteger: replyInteger, createNil: replyNull,
                freeObject: { _ in }))
        guard let raw = redisReaderCreateWithFunctions(self.functions) else {
            preconditionFailure("redisReaderCreateWithFunctions failed: the process is out of memory")
        }
        self.raw = raw
        // Keeps the buffer of an idle reader up to this size; beyond it is given back.
        raw.pointee.maxbuf = 1 << 20
        // The reader is freed in deinit, so no callback can come when `self` is gone.
        raw.pointee.privdata = Unmanaged.passUnretained(self).toOpaque()
    }

    deinit {
        redisReaderFree(self.raw)
        self.functions.deallocate()
    }

    /// Parses `input` and calls `handle` for each reply that is complete; its tokens and bytes are valid during the call only.
    ///
    /// - Throws: ``UpstreamError`` for bytes that are not RESP 2 or exceed a limit, and what `handle` throws. The reader is of no use then.
    func read(
        _ input: ByteBuffer, _ handle: (ReplyReader) throws(UpstreamError) -> Void
    ) throws(UpstreamError) {
        var offset = 0
        let view = input.readableBytesView
        // hiredis moves the rest of its buffer each time it has consumed 1 KiB, so it is fed in small bites; a reply that is larger
        // than a bite is fed in growing ones.
        var bite = 4096
        while offset < view.count {
            let count = min(bite, view.count - offset)
            let code = view.withUnsafeBytes { bytes in
                redisReaderFeed(self.raw, bytes.baseAddress! + offset, count)
            }
            offset += count
            guard code == REDIS_OK else { throw self.protocolViolation() }
            bite = try self.drain(handle) > 0 ? 4096 : bite * 2
        }
    }

    /// Asks to keep the bytes of the reply that is being handled until ``takeBytes()``.
    func keepReply() {
        self.keepsReply = true
    }

    /// Hands over the kept bytes, and starts anew.
    func takeBytes() -> ByteBuffer {
        let taken = self.replaceBytes()
        if taken.writerIndex > self.replyStart {
            // A reply of which a part has arrived moves along.
            self.bytes.writeImmutableBuffer(
                taken.getSlice(at: self.replyStart, length: taken.writerIndex - self.replyStart)!)
            for index in self.tokens.indices { self.tokens[index].start -= self.replyStart }
        }
        self.replyStart = 0
        return taken
    }

    /// Hands over all bytes including those of the reply that is being handled, and starts anew.
    func takeReply() -> ByteBuffer {
        self.replyStart = 0
        return self.replaceBytes()
    }

    private func replaceBytes() -> ByteBuffer {
        let taken = self.bytes
        self.bytes = ByteBufferAllocator().buffer(capacity: max(1 << 12, min(taken.writerIndex, 1 << 18)))
        return taken
    }

    private func drain(_ handle: (ReplyReader) throws(UpstreamError) -> Void) throws(UpstreamError) -> Int {
        var count = 0
        while true {
            var reply: UnsafeMutableRawPointer?
            guard redisReaderGetReply(self.raw, &reply) == REDIS_OK, self.violation == nil else {
                throw self.protocolViolation()
            }
            guard reply != nil else {
                let waiting = self.raw.pointee.len - self.raw.pointee.pos
                if waiting > Self.replyLimit { throw UpstreamError(.protocolViolation, "a reply of more than 128 MiB") }
                return count
            }
            count += 1
            try handle(self)
            self.tokens.removeAll(keepingCapacity: true)
            if self.keepsReply {
                self.keepsReply = false
                self.replyStart = self.bytes.writerIndex
            } else {
                self.bytes.moveWriterIndex(to: self.replyStart)
            }
        }
    }

    private func protocolViolation() -> UpstreamError {
        if let violation = self.violation { return UpstreamError(.protocolViolation, violation) }
        let text = withUnsafeBytes(of: &self.raw.pointee.errstr) {
            String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
        return UpstreamError(
            .protocolViolation, "what arrived is not RESP: \(text) (hiredis code \(self.raw.pointee.err))")
    }

    // MARK: What hiredis calls

    /// Any pointer but nil tells hiredis that there is an object; it is never followed.
    private static var object: UnsafeMutableRawPointer? { UnsafeMutableRawPointer(bitPattern: 1) }

    fileprivate func append(_ kind: ReplyToken.Kind, _ text: UnsafeRawBufferPointer) -> UnsafeMutableRawPointer? {
        guard text.count <= Self.stringLimit, self.bytes.writerIndex - self.replyStart + text.count <= Self.replyLimit
        else {
            self.violation = "a reply with a string of \(text.count) bytes, beyond the limit"
            return nil
        }
        let start = self.bytes.writerIndex
        self.bytes.writeBytes(text)
        return self.append(ReplyToken(kind: kind, start: start, length: text.count))
    }

    fileprivate func append(arrayOf count: Int) -> UnsafeMutableRawPointer? {
        guard count <= Self.elementLimit else {
            self.violation = "a reply with an array of \(count) elements, beyond the limit"
            return nil
        }
        return self.append(ReplyToken(kind: .array, start: 0, length: count))
    }

    fileprivate func append(_ token: ReplyToken) -> UnsafeMutableRawPointer? {
        guard self.tokens.count < Self.tokenLimit else {
            self.violation = "a reply with more than \(Self.tokenLimit) elements"
            return nil
        }
        self.tokens.append(token)
        return Self.object
    }
}

private func reader(_ task: UnsafePointer<redisReadTask>?) -> ReplyReader {
    Unmanaged<ReplyReader>.fromOpaque(task!.pointee.privdata!).takeUnretainedValue()
}

private func replyString(
    _ task: UnsafePointer<redisReadTask>?, _ text: UnsafeMutablePointer<CChar>?, _ length: Int
) -> UnsafeMutableRawPointer? {
    let kind: ReplyToken.Kind =
        switch task!.pointee.type {
        case REDIS_REPLY_ERROR: .error
        case REDIS_REPLY_STATUS: .status
        default: .string
        }
    return reader(task).append(kind, UnsafeRawBufferPointer(start: text, count: length))
}

private func replyArray(_ task: UnsafePointer<redisReadTask>?, _ count: Int32) -> UnsafeMutableRawPointer? {
    reader(task).append(arrayOf: Int(count))
}

private func replyInteger(_ task: UnsafePointer<redisReadTask>?, _ value: Int64) -> UnsafeMutableRawPointer? {
    reader(task).append(ReplyToken(kind: .integer, start: 0, length: Int(value)))
}

private func replyNull(_ task: UnsafePointer<redisReadTask>?) -> UnsafeMutableRawPointer? {
    reader(task).append(ReplyToken(kind: .null, start: 0, length: 0))
}

extension ReplyReader {
    /// Whether the element at `index` is a string of exactly these bytes.
    func isString(at index: Int, _ expected: StaticString) -> Bool {
        let token = self.tokens[index]
        guard token.kind == .string, token.length == expected.utf8CodeUnitCount else { return false }
        return self.bytes.withUnsafeReadableBytes { bytes in
            expected.withUTF8Buffer { expected in
                (bytes.baseAddress! + token.start).elementsEqual(UnsafeRawBufferPointer(expected))
            }
        }
    }

    /// The text of the string, status or error at `index`; bytes that are not UTF-8 are replaced.
    func text(at index: Int) -> String {
        let token = self.tokens[index]
        switch token.kind {
        case .string, .status, .error: return self.bytes.getString(at: token.start, length: token.length) ?? ""
        case .array, .integer, .null: return ""
        }
    }
}

extension UnsafeRawPointer {
    fileprivate func elementsEqual(_ other: UnsafeRawBufferPointer) -> Bool {
        UnsafeRawBufferPointer(start: self, count: other.count).elementsEqual(other)
    }
}
