internal import CLinkspanHiredis
internal import Glibc
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

/// What a reader has parsed. It lives at a fixed address, which hiredis hands to its callbacks: there Swift checks no access and counts
/// no reference, which would cost as much as the parsing itself.
struct ReplyStore {
    fileprivate(set) var tokens: ContiguousArray<ReplyToken> = []
    fileprivate(set) var bytes = ByteBufferAllocator().buffer(capacity: 1 << 14)
    /// Where in ``bytes`` the current reply begins; what lies before is kept for ``ReplyReader/takeBytes()``.
    fileprivate var replyStart = 0
    fileprivate var violation: String?

    /// Any pointer but nil tells hiredis that there is an object; it is never followed.
    private static var object: UnsafeMutableRawPointer? { UnsafeMutableRawPointer(bitPattern: 1) }

    fileprivate mutating func append(
        _ kind: ReplyToken.Kind, _ text: UnsafeRawBufferPointer
    ) -> UnsafeMutableRawPointer? {
        let start = self.bytes.writerIndex
        guard text.count <= ReplyReader.stringLimit, start - self.replyStart + text.count <= ReplyReader.replyLimit
        else {
            self.violation = "a reply with a string of \(text.count) bytes, beyond the limit"
            return nil
        }
        self.bytes.writeBytes(text)
        return self.append(ReplyToken(kind: kind, start: start, length: text.count))
    }

    fileprivate mutating func append(arrayOf count: Int) -> UnsafeMutableRawPointer? {
        guard count <= ReplyReader.elementLimit else {
            self.violation = "a reply with an array of \(count) elements, beyond the limit"
            return nil
        }
        return self.append(ReplyToken(kind: .array, start: 0, length: count))
    }

    fileprivate mutating func append(_ token: ReplyToken) -> UnsafeMutableRawPointer? {
        guard self.tokens.count < ReplyReader.tokenLimit else {
            self.violation = "a reply with more than \(ReplyReader.tokenLimit) elements"
            return nil
        }
        self.tokens.append(token)
        return Self.object
    }

    fileprivate mutating func replaceBytes() -> ByteBuffer {
        let taken = self.bytes
        self.bytes = ByteBufferAllocator().buffer(capacity: max(1 << 12, min(taken.writerIndex, 1 << 18)))
        return taken
    }
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
    var tokens: ContiguousArray<ReplyToken> { self.store.pointee.tokens }
    /// What the tokens point into.
    var bytes: ByteBuffer { self.store.pointee.bytes }

    private let raw: UnsafeMutablePointer<redisReader>
    private let functions: UnsafeMutablePointer<redisReplyObjectFunctions>
    private let store: UnsafeMutablePointer<ReplyStore>
    private var keepsReply = false

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
        self.store = .allocate(capacity: 1)
        self.store.initialize(to: ReplyStore())
        // Freed only after the reader that calls back with it.
        raw.pointee.privdata = UnsafeMutableRawPointer(self.store)
    }

    deinit {
        redisReaderFree(self.raw)
        self.functions.deallocate()
        self.store.deinitialize(count: 1)
        self.store.deallocate()
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
        let start = self.store.pointee.replyStart
        let taken = self.store.pointee.replaceBytes()
        if taken.writerIndex > start {
            // A reply of which a part has arrived moves along.
            self.store.pointee.bytes.writeImmutableBuffer(taken.getSlice(at: start, length: taken.writerIndex - start)!)
            for index in self.store.pointee.tokens.indices { self.store.pointee.tokens[index].start -= start }
        }
        self.store.pointee.replyStart = 0
        return taken
    }

    /// Hands over all bytes including those of the reply that is being handled, and starts anew.
    func takeReply() -> ByteBuffer {
        self.store.pointee.replyStart = 0
        return self.store.pointee.replaceBytes()
    }

    private func drain(_ handle: (ReplyReader) throws(UpstreamError) -> Void) throws(UpstreamError) -> Int {
        var count = 0
        while true {
            var reply: UnsafeMutableRawPointer?
            guard redisReaderGetReply(self.raw, &reply) == REDIS_OK, self.store.pointee.violation == nil else {
                throw self.protocolViolation()
            }
            guard reply != nil else {
                let waiting = self.raw.pointee.len - self.raw.pointee.pos
                if waiting > Self.replyLimit { throw UpstreamError(.protocolViolation, "a reply of more than 128 MiB") }
                return count
            }
            count += 1
            try handle(self)
            self.store.pointee.tokens.removeAll(keepingCapacity: true)
            if self.keepsReply {
                self.keepsReply = false
                self.store.pointee.replyStart = self.store.pointee.bytes.writerIndex
            } else {
                self.store.pointee.bytes.moveWriterIndex(to: self.store.pointee.replyStart)
            }
        }
    }

    private func protocolViolation() -> UpstreamError {
        if let violation = self.store.pointee.violation { return UpstreamError(.protocolViolation, violation) }
        let text = withUnsafeBytes(of: &self.raw.pointee.errstr) {
            String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
        }
        return UpstreamError(
            .protocolViolation, "what arrived is not RESP: \(text) (hiredis code \(self.raw.pointee.err))")
    }

    /// The element at `index`, without touching the count of references to the whole.
    func token(at index: Int) -> ReplyToken { self.store.pointee.tokens[index] }

    /// Runs `body` with the bytes that tokens point into.
    func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        self.store.pointee.bytes.withUnsafeReadableBytes(body)
    }
}

// MARK: What hiredis calls

private func store(_ task: UnsafePointer<redisReadTask>?) -> UnsafeMutablePointer<ReplyStore> {
    task!.pointee.privdata!.assumingMemoryBound(to: ReplyStore.self)
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
    return store(task).pointee.append(kind, UnsafeRawBufferPointer(start: text, count: length))
}

private func replyArray(_ task: UnsafePointer<redisReadTask>?, _ count: Int32) -> UnsafeMutableRawPointer? {
    store(task).pointee.append(arrayOf: Int(count))
}

private func replyInteger(_ task: UnsafePointer<redisReadTask>?, _ value: Int64) -> UnsafeMutableRawPointer? {
    store(task).pointee.append(ReplyToken(kind: .integer, start: 0, length: Int(value)))
}

private func replyNull(_ task: UnsafePointer<redisReadTask>?) -> UnsafeMutableRawPointer? {
    store(task).pointee.append(ReplyToken(kind: .null, start: 0, length: 0))
}

extension ReplyReader {
    /// Whether the element at `index` is a string of exactly these bytes.
    func isString(at index: Int, _ expected: StaticString) -> Bool {
        let token = self.token(at: index)
        guard token.kind == .string, token.length == expected.utf8CodeUnitCount else { return false }
        return self.withBytes { memcmp($0.baseAddress! + token.start, expected.utf8Start, token.length) == 0 }
    }

    /// The text of the string, status or error at `index`; bytes that are not UTF-8 are replaced.
    func text(at index: Int) -> String {
        let token = self.token(at: index)
        switch token.kind {
        case .string, .status, .error: return self.bytes.getString(at: token.start, length: token.length) ?? ""
        case .array, .integer, .null: return ""
        }
    }
}
