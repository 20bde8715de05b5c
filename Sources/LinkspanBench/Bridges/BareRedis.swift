internal import CLinkspanHiredis
internal import Glibc
internal import LinkspanBridgeKit
internal import LinkspanCore
internal import NIOCore

/// PUBLISH in a bare loop over hiredis: append, flush, read the answers.
struct RedisSource: FlowSource {
    private let context: RedisContext
    private let name: StaticString
    private var unanswered = 0
    private var identities: Identities?

    /// - Parameter identities: what makes envelopes of the payloads; nil sends them as they are.
    init(port: UInt16, name: StaticString, identities: Identities? = nil) throws {
        self.name = name
        self.identities = identities
        self.context = try RedisContext(port: port)
    }

    var room: Int { 4096 - self.unanswered }

    mutating func publish(_ payload: UnsafeRawBufferPointer) throws {
        self.unanswered += 1
        guard let header = self.identities?.next() else {
            return try self.context.append(["PUBLISH", self.name], payload)
        }
        var envelope = ByteBuffer()
        EnvelopeCodec.encode(header, data: ByteBuffer(bytes: payload), into: &envelope)
        try envelope.withUnsafeReadableBytes { try self.context.append(["PUBLISH", self.name], $0) }
    }

    mutating func turn() throws {
        while self.unanswered > 0 {
            try self.context.reply { _ in }
            self.unanswered -= 1
        }
    }
}

/// SUBSCRIBE in a bare loop over hiredis.
struct RedisSink: FlowSink {
    private let context: RedisContext

    init(port: UInt16, name: StaticString) throws {
        self.context = try RedisContext(port: port)
        try self.context.append(["SUBSCRIBE", name], nil)
        try self.context.reply { _ in }
    }

    mutating func receive(within milliseconds: Int32, _ body: (UnsafeRawBufferPointer) -> Void) throws {
        var entry = pollfd(fd: self.context.descriptor, events: Int16(POLLIN), revents: 0)
        guard Glibc.poll(&entry, 1, milliseconds) > 0 else { return }
        try self.context.readAll { reply in
            guard reply.pointee.elements == 3, let last = reply.pointee.element[2] else { return }
            body(UnsafeRawBufferPointer(start: last.pointee.str, count: last.pointee.len))
        }
    }
}

/// Sole owner of one `redisContext`. Lives on one thread.
private final class RedisContext {
    private let raw: UnsafeMutablePointer<redisContext>

    init(port: UInt16) throws {
        guard let raw = redisConnect("127.0.0.1", Int32(port)) else { throw BenchError("hiredis is out of memory") }
        self.raw = raw
        guard raw.pointee.err == 0 else { throw BenchError("no connection to redis-server on port \(port)") }
    }

    deinit {
        redisFree(self.raw)
    }

    var descriptor: Int32 { self.raw.pointee.fd }

    func append(_ words: [StaticString], _ payload: UnsafeRawBufferPointer?) throws {
        var texts: [UnsafePointer<CChar>?] = words.map {
            UnsafeRawPointer($0.utf8Start).assumingMemoryBound(to: CChar.self)
        }
        var lengths = words.map { Int($0.utf8CodeUnitCount) }
        if let payload {
            texts.append(payload.baseAddress?.assumingMemoryBound(to: CChar.self))
            lengths.append(payload.count)
        }
        guard redisAppendCommandArgv(self.raw, Int32(texts.count), &texts, &lengths) == REDIS_OK else {
            throw BenchError("hiredis is out of memory")
        }
    }

    /// Sends what is queued and waits for one answer.
    func reply(_ body: (UnsafeMutablePointer<redisReply>) -> Void) throws {
        var answer: UnsafeMutableRawPointer?
        guard redisGetReply(self.raw, &answer) == REDIS_OK, let answer else {
            throw BenchError("redis-server went away")
        }
        body(answer.assumingMemoryBound(to: redisReply.self))
        freeReplyObject(answer)
    }

    /// Takes what one read brings.
    func readAll(_ body: (UnsafeMutablePointer<redisReply>) -> Void) throws {
        guard redisBufferRead(self.raw) == REDIS_OK else { throw BenchError("redis-server went away") }
        while true {
            var answer: UnsafeMutableRawPointer?
            guard redisGetReplyFromReader(self.raw, &answer) == REDIS_OK else {
                throw BenchError("redis-server speaks another protocol")
            }
            guard let answer else { return }
            body(answer.assumingMemoryBound(to: redisReply.self))
            freeReplyObject(answer)
        }
    }
}
