/// The one place that reads JSON byte by byte: strict RFC 8259, UTF-8 checked on the way, no allocation, no recursion.
///
/// Works on raw pointers; whoever makes one keeps the memory alive while it is used. Every read is bounded by `count`,
/// also the reads of whole words, so the text needs no padding behind it.
///
/// What steps over a part of the text takes an index and gives back the index behind it, so that the inner loops keep
/// theirs in a register; only the outermost calls move `position`.
struct JSONReader {
    let base: UnsafePointer<UInt8>
    let count: Int
    let maximumDepth: Int
    var position: Int

    init(_ bytes: UnsafeRawBufferPointer, maximumDepth: Int, position: Int = 0) {
        self.base = bytes.bytes
        self.count = bytes.count
        self.maximumDepth = min(max(maximumDepth, 1), ContainerStack.capacity)
        self.position = position
    }

    /// The byte at `position`, 0 at the end.
    @inline(__always)
    var current: UInt8 { self.byte(at: self.position) }

    @inline(__always)
    mutating func skipWhitespace() {
        self.position = self.afterWhitespace(self.position)
    }

    /// From inside an object, behind `{` or behind a member: steps over the next key and its colon, nil at the closing
    /// brace.
    @inline(__always)
    mutating func nextKey(isFirst: Bool) throws(JSONError) -> StringSlice? {
        self.skipWhitespace()
        switch self.current {
        case UInt8(ascii: "}"):
            self.position &+= 1
            return nil
        case UInt8(ascii: ",") where !isFirst:
            self.position &+= 1
            self.skipWhitespace()
        default:
            guard isFirst else { throw self.unexpected(at: self.position) }
        }
        var hasEscapes = false
        let start = self.position
        let end = try self.endOfKey(start, &hasEscapes)
        self.position = try self.afterColon(end)
        return StringSlice(range: start &+ 1..<end &- 1, hasEscapes: hasEscapes)
    }

    /// From inside an array, behind `[` or behind an element: moves to the next element, false behind the closing
    /// bracket.
    @inline(__always)
    mutating func nextElement(isFirst: Bool) throws(JSONError) -> Bool {
        self.skipWhitespace()
        switch self.current {
        case UInt8(ascii: "]"):
            self.position &+= 1
            return false
        case UInt8(ascii: ",") where !isFirst:
            self.position &+= 1
            self.skipWhitespace()
        default:
            guard isFirst else { throw self.unexpected(at: self.position) }
        }
        return true
    }

    /// Steps over one value that lies inside `depth` containers, and says what it was.
    @inline(__always)
    mutating func scanValue(depth: Int) throws(JSONError) -> JSONValue {
        self.skipWhitespace()
        let start = self.position
        let kind: JSONKind
        var hasEscapes = false
        switch self.current {
        case UInt8(ascii: "\""):
            self.position = try self.endOfString(start, &hasEscapes)
            kind = .string
        case UInt8(ascii: "{"):
            self.position = try self.endOfContainer(start, depth: depth)
            kind = .object
        case UInt8(ascii: "["):
            self.position = try self.endOfContainer(start, depth: depth)
            kind = .array
        case UInt8(ascii: "t"), UInt8(ascii: "f"):
            self.position = try self.endOfScalar(start)
            kind = .boolean
        case UInt8(ascii: "n"):
            self.position = try self.endOfScalar(start)
            kind = .null
        default:
            self.position = try self.endOfScalar(start)
            kind = .number
        }
        return JSONValue(kind: kind, range: start..<self.position, hasEscapes: hasEscapes)
    }

    /// Fails unless nothing but whitespace is left.
    mutating func expectEnd() throws(JSONError) {
        self.skipWhitespace()
        guard self.position == self.count else { throw JSONError(reason: .unexpectedByte, offset: self.position) }
    }

    func unexpected(at index: Int) -> JSONError {
        JSONError(reason: index < self.count ? .unexpectedByte : .unexpectedEnd, offset: index)
    }
}

extension JSONReader {
    /// The byte at `index`, 0 at the end: 0 is never valid outside a string, so the end falls into every `default`.
    @inline(__always)
    func byte(at index: Int) -> UInt8 {
        index < self.count ? self.base[index] : 0
    }

    @inline(__always)
    func afterWhitespace(_ start: Int) -> Int {
        var index = start
        while index < self.count {
            let byte = self.base[index]
            // One comparison for the common case, that there is none.
            guard byte <= 0x20, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 else { break }
            index &+= 1
        }
        return index
    }

    @inline(__always)
    private func endOfKey(_ start: Int, _ hasEscapes: inout Bool) throws(JSONError) -> Int {
        guard self.byte(at: start) == UInt8(ascii: "\"") else { throw self.unexpected(at: start) }
        return try self.endOfString(start, &hasEscapes)
    }

    @inline(__always)
    private func afterColon(_ start: Int) throws(JSONError) -> Int {
        let index = self.afterWhitespace(start)
        guard self.byte(at: index) == UInt8(ascii: ":") else { throw self.unexpected(at: index) }
        return index &+ 1
    }

    /// The object or array that begins at `start` lies inside `outer` others.
    private func endOfContainer(_ start: Int, depth outer: Int) throws(JSONError) -> Int {
        var stack = ContainerStack()
        var index = start
        var hasEscapes = false
        nextValue: while true {
            index = self.afterWhitespace(index)
            let byte = self.byte(at: index)
            switch byte {
            case UInt8(ascii: "\""):
                index = try self.endOfString(index, &hasEscapes)
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                guard outer &+ stack.depth < self.maximumDepth else {
                    throw JSONError(reason: .tooDeep, offset: index)
                }
                let isObject = byte == UInt8(ascii: "{")
                stack.push(isObject: isObject)
                index = self.afterWhitespace(index &+ 1)
                // Both closing characters come two places behind their opening ones.
                if self.byte(at: index) != byte &+ 2 {
                    if isObject { index = try self.afterColon(try self.endOfKey(index, &hasEscapes)) }
                    continue nextValue
                }
            default:
                index = try self.endOfScalar(index)
            }
            // A value has ended, or an empty container stands before its closing character.
            while true {
                index = self.afterWhitespace(index)
                switch (self.byte(at: index), stack.isObject) {
                case (UInt8(ascii: ","), true):
                    let key = self.afterWhitespace(index &+ 1)
                    index = try self.afterColon(try self.endOfKey(key, &hasEscapes))
                    continue nextValue
                case (UInt8(ascii: ","), false):
                    index &+= 1
                    continue nextValue
                case (UInt8(ascii: "}"), true), (UInt8(ascii: "]"), false):
                    index &+= 1
                    stack.pop()
                    if stack.depth == 0 { return index }
                default:
                    throw self.unexpected(at: index)
                }
            }
        }
    }

    /// A number, `true`, `false` or `null`.
    @inline(__always)
    private func endOfScalar(_ start: Int) throws(JSONError) -> Int {
        switch self.byte(at: start) {
        case UInt8(ascii: "t"): try self.endOfWord("true", start)
        case UInt8(ascii: "f"): try self.endOfWord("false", start)
        case UInt8(ascii: "n"): try self.endOfWord("null", start)
        default: try self.endOfNumber(start)
        }
    }

    @inline(__always)
    private func endOfWord(_ word: StaticString, _ start: Int) throws(JSONError) -> Int {
        for offset in 0..<word.utf8CodeUnitCount {
            guard self.byte(at: start &+ offset) == word.utf8Start[offset] else {
                throw self.unexpected(at: start &+ offset)
            }
        }
        return start &+ word.utf8CodeUnitCount
    }

    private func endOfNumber(_ start: Int) throws(JSONError) -> Int {
        var index = start
        if self.byte(at: index) == UInt8(ascii: "-") { index &+= 1 }
        index = self.byte(at: index) == UInt8(ascii: "0") ? index &+ 1 : try self.endOfDigits(index)
        if self.byte(at: index) == UInt8(ascii: ".") { index = try self.endOfDigits(index &+ 1) }
        guard self.byte(at: index) | 0x20 == UInt8(ascii: "e") else { return index }
        index &+= 1
        if self.byte(at: index) == UInt8(ascii: "+") || self.byte(at: index) == UInt8(ascii: "-") { index &+= 1 }
        return try self.endOfDigits(index)
    }

    @inline(__always)
    private func endOfDigits(_ start: Int) throws(JSONError) -> Int {
        var index = start
        while self.byte(at: index) &- UInt8(ascii: "0") < 10 { index &+= 1 }
        guard index > start else { throw self.unexpected(at: index) }
        return index
    }
}

/// Which of the open containers are objects: one bit each, so that nesting costs neither recursion nor memory.
private struct ContainerStack {
    static let capacity = 1024
    private(set) var depth = 0
    /// Of the innermost container.
    private(set) var isObject = false
    private var words = InlineArray<16, UInt64>(repeating: 0)

    /// - Precondition: `depth` is below `capacity`.
    @inline(__always)
    mutating func push(isObject: Bool) {
        let bit: UInt64 = 1 << UInt64(self.depth & 63)
        if isObject {
            self.words[self.depth >> 6] |= bit
        } else {
            self.words[self.depth >> 6] &= ~bit
        }
        self.depth &+= 1
        self.isObject = isObject
    }

    @inline(__always)
    mutating func pop() {
        self.depth &-= 1
        guard self.depth > 0 else { return }
        let top = self.depth &- 1
        self.isObject = self.words[top >> 6] >> UInt64(top & 63) & 1 == 1
    }
}
