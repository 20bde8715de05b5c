// The parser's own events, rather than the tree that Yams composes: that one stops at the first duplicate key without telling where
// the second stands, hashes keys of any depth, and repeats what an alias names without a bound.
internal import CYaml

/// Reads one YAML document, within the limits of ``YAMLDocument/Limit``.
struct YAMLParser: ~Copyable {
    private var anchors: [String: YAMLNode] = [:]
    private var duplicateKeys: [YAMLDocument.DuplicateKey] = []
    private var nodes = 0
    private let events: YAMLEventReader

    private init(events: YAMLEventReader) {
        self.events = events
    }

    static func parse(_ text: String) throws(YAMLSyntaxError) -> YAMLDocument {
        guard text.utf8.count <= YAMLDocument.Limit.textBytes else {
            throw YAMLSyntaxError(
                message:
                    "the file has \(text.utf8.count) bytes; a configuration may have \(YAMLDocument.Limit.textBytes)")
        }
        var parser = YAMLParser(events: YAMLEventReader(text))
        return try parser.document()
    }

    private mutating func document() throws(YAMLSyntaxError) -> YAMLDocument {
        var root: YAMLNode?
        while true {
            let event = try self.events.next()
            switch event.kind {
            case .streamEnd:
                return YAMLDocument(root: root, duplicateKeys: self.duplicateKeys)
            case .structure where root != nil && event.startsDocument:
                throw YAMLSyntaxError(
                    mark: event.mark, message: "a second document begins here", hint: "a configuration is one document")
            case .structure:
                continue
            default:
                root = try self.node(from: event, depth: 1)
            }
        }
    }

    private mutating func node(from event: YAMLEvent, depth: Int) throws(YAMLSyntaxError) -> YAMLNode {
        guard depth <= YAMLDocument.Limit.depth else {
            throw YAMLSyntaxError(
                mark: event.mark, message: "nested deeper than \(YAMLDocument.Limit.depth) levels")
        }
        let node: YAMLNode
        switch event.kind {
        case .alias(let name):
            guard let named = self.anchors[name] else {
                throw YAMLSyntaxError(mark: event.mark, message: "the alias *\(name) names no anchor above it")
            }
            try self.count(named.weight, at: event.mark)
            return named
        case .scalar(let text, let isPlain):
            node = YAMLNode(mark: event.mark, content: .scalar(text, isPlain: isPlain), weight: 1)
        case .sequenceStart:
            node = try self.sequence(at: event.mark, depth: depth)
        case .mappingStart:
            node = try self.mapping(at: event.mark, depth: depth)
        case .sequenceEnd, .mappingEnd, .streamEnd, .structure:
            throw YAMLSyntaxError(mark: event.mark, message: "expected a value")
        }
        try self.count(1, at: event.mark)
        if let anchor = event.anchor { self.anchors[anchor] = node }
        return node
    }

    private mutating func count(_ nodes: Int, at mark: Mark) throws(YAMLSyntaxError) {
        self.nodes += nodes
        guard self.nodes <= YAMLDocument.Limit.nodes else {
            throw YAMLSyntaxError(
                mark: mark,
                message: "more than \(YAMLDocument.Limit.nodes) values, with what aliases repeat")
        }
    }

    private mutating func sequence(at mark: Mark, depth: Int) throws(YAMLSyntaxError) -> YAMLNode {
        var elements: [YAMLNode] = []
        while true {
            let event = try self.events.next()
            if case .sequenceEnd = event.kind { break }
            elements.append(try self.node(from: event, depth: depth + 1))
        }
        return YAMLNode(mark: mark, content: .sequence(elements), weight: 1 + elements.reduce(0) { $0 + $1.weight })
    }

    private mutating func mapping(at mark: Mark, depth: Int) throws(YAMLSyntaxError) -> YAMLNode {
        var entries: [YAMLNode.Entry] = []
        var firstMarks: [String: Mark] = [:]
        while true {
            let keyEvent = try self.events.next()
            if case .mappingEnd = keyEvent.kind { break }
            guard case .scalar(let key, _) = keyEvent.kind else {
                throw YAMLSyntaxError(mark: keyEvent.mark, message: "expected a key, found a list, a block or an alias")
            }
            let value = try self.node(from: self.events.next(), depth: depth + 1)
            if let firstMark = firstMarks[key] {
                self.duplicateKeys.append(.init(key: key, mark: keyEvent.mark, firstMark: firstMark))
            } else {
                firstMarks[key] = keyEvent.mark
                entries.append(YAMLNode.Entry(key: key, keyMark: keyEvent.mark, value: value))
            }
        }
        return YAMLNode(
            mark: mark, content: .mapping(entries), weight: 1 + entries.reduce(0) { $0 + 1 + $1.value.weight })
    }
}

/// What the parser of libyaml saw next.
struct YAMLEvent {
    enum Kind {
        case scalar(String, isPlain: Bool)
        case alias(String)
        case sequenceStart, sequenceEnd
        case mappingStart, mappingEnd
        /// Begin of the stream, begin and end of documents.
        case structure
        case streamEnd
    }

    var kind: Kind
    var mark: Mark
    var anchor: String?
    var startsDocument = false
}

/// Sole owner of one `yaml_parser_t` and of the text that it reads.
final class YAMLEventReader {
    private let parser = UnsafeMutablePointer<yaml_parser_t>.allocate(capacity: 1)
    private let text: UnsafeMutableBufferPointer<UInt8>

    init(_ text: String) {
        self.text = .allocate(capacity: text.utf8.count)
        _ = self.text.initialize(from: text.utf8)
        // It fails only where memory is exhausted, and the first yaml_parser_parse then reports that.
        _ = yaml_parser_initialize(self.parser)
        yaml_parser_set_encoding(self.parser, YAML_UTF8_ENCODING)
        yaml_parser_set_input_string(self.parser, self.text.baseAddress, self.text.count)
    }

    deinit {
        yaml_parser_delete(self.parser)
        self.parser.deallocate()
        self.text.deallocate()
    }

    func next() throws(YAMLSyntaxError) -> YAMLEvent {
        var event = yaml_event_t()
        guard yaml_parser_parse(self.parser, &event) == 1 else { throw self.syntaxError() }
        defer { yaml_event_delete(&event) }
        return Self.translate(event)
    }

    private static func translate(_ event: yaml_event_t) -> YAMLEvent {
        let mark = Mark(line: event.start_mark.line + 1, column: event.start_mark.column + 1)
        switch event.type {
        case YAML_SCALAR_EVENT:
            let scalar = event.data.scalar
            let text = String(decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.length), as: UTF8.self)
            let isPlain = scalar.style == YAML_PLAIN_SCALAR_STYLE
            return YAMLEvent(kind: .scalar(text, isPlain: isPlain), mark: mark, anchor: Self.text(scalar.anchor))
        case YAML_ALIAS_EVENT:
            return YAMLEvent(kind: .alias(Self.text(event.data.alias.anchor) ?? ""), mark: mark)
        case YAML_SEQUENCE_START_EVENT:
            return YAMLEvent(kind: .sequenceStart, mark: mark, anchor: Self.text(event.data.sequence_start.anchor))
        case YAML_SEQUENCE_END_EVENT:
            return YAMLEvent(kind: .sequenceEnd, mark: mark)
        case YAML_MAPPING_START_EVENT:
            return YAMLEvent(kind: .mappingStart, mark: mark, anchor: Self.text(event.data.mapping_start.anchor))
        case YAML_MAPPING_END_EVENT:
            return YAMLEvent(kind: .mappingEnd, mark: mark)
        case YAML_STREAM_END_EVENT:
            return YAMLEvent(kind: .streamEnd, mark: mark)
        default:
            return YAMLEvent(kind: .structure, mark: mark, startsDocument: event.type == YAML_DOCUMENT_START_EVENT)
        }
    }

    private static func text(_ pointer: UnsafePointer<UInt8>?) -> String? {
        pointer.map { String(decodingCString: $0, as: UTF8.self) }
    }

    private func syntaxError() -> YAMLSyntaxError {
        let parser = self.parser.pointee
        let problem = parser.problem.map { String(cString: $0) } ?? "out of memory"
        if parser.error == YAML_READER_ERROR {
            return YAMLSyntaxError(
                mark: self.mark(ofByte: parser.problem_offset), message: "not a text in UTF-8: \(problem)")
        }
        let mark = Mark(line: parser.problem_mark.line + 1, column: parser.problem_mark.column + 1)
        // The scanner looks ahead, and may meet its own limit before ours.
        if problem.hasPrefix("Maximum nesting level") {
            return YAMLSyntaxError(mark: mark, message: "nested too deeply")
        }
        guard let context = parser.context.map({ String(cString: $0) }) else {
            return YAMLSyntaxError(mark: mark, message: problem)
        }
        let began = parser.context_mark.line + 1
        return YAMLSyntaxError(
            mark: mark, message: "\(problem), \(context)" + (began == mark.line ? "" : " of line \(began)"))
    }

    private func mark(ofByte offset: Int) -> Mark {
        let before = self.text.prefix(offset)
        let lineStart = before.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
        let line = before.count { $0 == UInt8(ascii: "\n") } + 1
        return Mark(line: line, column: String(decoding: before[lineStart...], as: UTF8.self).unicodeScalars.count + 1)
    }
}
