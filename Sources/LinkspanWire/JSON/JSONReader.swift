/// The one place that reads JSON byte by byte: strict RFC 8259 with UTF-8 checked on the way, no allocation, no recursion.
///
/// Works on raw pointers; whoever makes one keeps the memory alive while it is used. Every read is bounded by `count`, also
/// the reads of whole words, so the text needs no padding behind it.
struct JSONReader {
    let base: UnsafePointer<UInt8>
    let count: Int
    let maximumDepth: Int
    var position: Int

    init(_ bytes: UnsafeRawBufferPointer, maximumDepth: Int, position: Int = 0) {
        self.base = bytes.bytes
        self.count = bytes.count
        self.maximumDepth = min(max(maximumDepth, 1), DepthStack.capacity)
        self.position = position
    }

    func failure(_ reason: JSONError.Reason) -> JSONError {
        JSONError(reason: reason, offset: self.position)
    }

    /// The byte at `position`, or 0 at the end: 0 is never valid outside a string, so the end falls into every `default`.
    @inline(__always)
    var current: UInt8 {
        self.position < self.count ? self.base[self.position] : 0
    }

    @inline(__always)
    mutating func skipWhitespace() {
        while self.position < self.count {
            switch self.base[self.position] {
            case 0x20, 0x0A, 0x0D, 0x09: self.position &+= 1
            default: return
            }
        }
    }

    /// From inside an object, behind `{` or behind a member: steps over the next key and its colon, nil at the closing brace.
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
            guard isFirst else { throw self.unexpected() }
        }
        return try self.scanKey()
    }

    /// From inside an array, behind `[` or behind an element: moves to the next element, false behind the closing bracket.
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
            guard isFirst else { throw self.unexpected() }
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
            hasEscapes = try self.scanString()
            kind = .string
        case UInt8(ascii: "{"):
            try self.scanContainer(depth: depth)
            kind = .object
        case UInt8(ascii: "["):
            try self.scanContainer(depth: depth)
            kind = .array
        default:
            kind = try self.scanScalar()
        }
        return JSONValue(kind: kind, range: start..<self.position, hasEscapes: hasEscapes)
    }

    /// Fails unless nothing but whitespace is left.
    mutating func expectEnd() throws(JSONError) {
        self.skipWhitespace()
        guard self.position == self.count else { throw self.failure(.unexpectedByte) }
    }

    func unexpected() -> JSONError {
        self.failure(self.position < self.count ? .unexpectedByte : .unexpectedEnd)
    }

    @inline(__always)
    private mutating func scanKey() throws(JSONError) -> StringSlice {
        guard self.current == UInt8(ascii: "\"") else { throw self.unexpected() }
        let start = self.position &+ 1
        let hasEscapes = try self.scanString()
        let end = self.position &- 1
        self.skipWhitespace()
        guard self.current == UInt8(ascii: ":") else { throw self.unexpected() }
        self.position &+= 1
        return StringSlice(range: start..<end, hasEscapes: hasEscapes)
    }

    /// Steps over the object or array that starts here, which lies inside `depth` others.
    private mutating func scanContainer(depth outer: Int) throws(JSONError) {
        var stack = DepthStack()
        nextValue: while true {
            self.skipWhitespace()
            switch self.current {
            case UInt8(ascii: "\""):
                _ = try self.scanString()
            case UInt8(ascii: "{"):
                guard outer &+ stack.depth < self.maximumDepth else { throw self.failure(.tooDeep) }
                stack.push(isObject: true)
                self.position &+= 1
                self.skipWhitespace()
                if self.current != UInt8(ascii: "}") {
                    _ = try self.scanKey()
                    continue nextValue
                }
            case UInt8(ascii: "["):
                guard outer &+ stack.depth < self.maximumDepth else { throw self.failure(.tooDeep) }
                stack.push(isObject: false)
                self.position &+= 1
                self.skipWhitespace()
                if self.current != UInt8(ascii: "]") { continue nextValue }
            default:
                _ = try self.scanScalar()
            }
            // A value has ended, or an empty container stands before its closing character.
            while stack.depth > 0 {
                self.skipWhitespace()
                switch (self.current, stack.isObject) {
                case (UInt8(ascii: ","), true):
                    self.position &+= 1
                    self.skipWhitespace()
                    _ = try self.scanKey()
                    continue nextValue
                case (UInt8(ascii: ","), false):
                    self.position &+= 1
                    continue nextValue
                case (UInt8(ascii: "}"), true), (UInt8(ascii: "]"), false):
                    self.position &+= 1
                    stack.pop()
                default:
                    throw self.unexpected()
                }
            }
            return
        }
    }

    private mutating func scanScalar() throws(JSONError) -> JSONKind {
        switch self.current {
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"):
            try self.scanNumber()
            return .number
        case UInt8(ascii: "t"):
            try self.scanWord("true")
            return .boolean
        case UInt8(ascii: "f"):
            try self.scanWord("false")
            return .boolean
        case UInt8(ascii: "n"):
            try self.scanWord("null")
            return .null
        default:
            throw self.unexpected()
        }
    }

    @inline(__always)
    private mutating func scanWord(_ word: StaticString) throws(JSONError) {
        for offset in 0..<word.utf8CodeUnitCount {
            guard self.current == word.utf8Start[offset] else { throw self.unexpected() }
            self.position &+= 1
        }
    }

    private mutating func scanNumber() throws(JSONError) {
        if self.current == UInt8(ascii: "-") { self.position &+= 1 }
        if self.current == UInt8(ascii: "0") {
            self.position &+= 1
        } else {
            try self.scanDigits()
        }
        if self.current == UInt8(ascii: ".") {
            self.position &+= 1
            try self.scanDigits()
        }
        if self.current | 0x20 == UInt8(ascii: "e") {
            self.position &+= 1
            if self.current == UInt8(ascii: "+") || self.current == UInt8(ascii: "-") { self.position &+= 1 }
            try self.scanDigits()
        }
    }

    @inline(__always)
    private mutating func scanDigits() throws(JSONError) {
        let start = self.position
        while self.current &- UInt8(ascii: "0") < 10 { self.position &+= 1 }
        guard self.position > start else { throw self.unexpected() }
    }
}

/// Which of the open containers are objects: one bit each, so that nesting costs neither recursion nor memory.
private struct DepthStack {
    static let capacity = 1024
    private(set) var depth = 0
    private var words = InlineArray<16, UInt64>(repeating: 0)

    @inline(__always)
    var isObject: Bool {
        let top = self.depth &- 1
        return self.words[top >> 6] >> UInt64(top & 63) & 1 == 1
    }

    @inline(__always)
    mutating func push(isObject: Bool) {
        let bit: UInt64 = 1 << UInt64(self.depth & 63)
        if isObject {
            self.words[self.depth >> 6] |= bit
        } else {
            self.words[self.depth >> 6] &= ~bit
        }
        self.depth &+= 1
    }

    @inline(__always)
    mutating func pop() {
        self.depth &-= 1
    }
}
