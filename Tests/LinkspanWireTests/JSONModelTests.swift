import Foundation
import LinkspanWire
import TestSupport
import Testing

/// The scanner beside Foundation's, on random documents and on the same documents damaged.
struct JSONModelTests {
    @Test func `documents that another writer made are admitted and read the same`() throws {
        var random = SeededRandom()
        for _ in 0..<2_000 {
            let document = RandomJSON.document(using: &random)
            let text = [UInt8](
                try JSONSerialization.data(withJSONObject: document, options: [.fragmentsAllowed, .sortedKeys]))
            #expect(throws: Never.self) { try JSONScanner().scan(text.span.bytes) }
            #expect(try Self.rebuild(text) == (document as? NSObject))
        }
    }

    @Test func `damaged documents are judged as another parser judges them`() throws {
        var random = SeededRandom()
        var refused = 0
        for _ in 0..<20_000 {
            let document = RandomJSON.document(using: &random)
            var text = [UInt8](try JSONSerialization.data(withJSONObject: document, options: [.fragmentsAllowed]))
            for _ in 0..<Int.random(in: 1...3, using: &random) { RandomJSON.damage(&text, using: &random) }
            let isAdmitted = (try? JSONScanner().scan(text.span.bytes)) != nil
            refused += isAdmitted ? 0 : 1
            guard Self.isComparable(text) else { continue }
            let isAdmittedThere =
                (try? JSONSerialization.jsonObject(with: Data(text), options: .fragmentsAllowed)) != nil
            #expect(isAdmitted == isAdmittedThere, "\(String(decoding: text, as: UTF8.self)) \(text)")
        }
        #expect(refused > 1_000)
    }

    /// Foundation guesses UTF-16 and UTF-32 from zero bytes and byte order marks, refuses numbers that no double holds
    /// and lone surrogates, and lets a comma stand before a closing bracket.
    private static func isComparable(_ text: [UInt8]) -> Bool {
        let string = String(decoding: text, as: UTF8.self).lowercased()
        return !text.contains(0) && !text.starts(with: [0xEF, 0xBB, 0xBF]) && text.first.map { $0 < 0xFE } ?? true
            && !string.contains("\\ud") && !string.contains(/e\+?[0-9]{3}/) && !string.contains(/,\s*[\]}]/)
    }

    /// Foundation's objects, built with nothing but our scanner.
    private static func rebuild(_ text: [UInt8]) throws -> NSObject {
        try Self.rebuild(try JSONScanner().scan(text.span.bytes), text)
    }

    private static func rebuild(_ value: JSONValue, _ text: [UInt8]) throws -> NSObject {
        switch value.kind {
        case .null: return NSNull()
        case .boolean: return NSNumber(value: value.boolean(in: text.span.bytes) == true)
        case .string:
            let string = value.string?.string(in: text.span.bytes)
            return try #require(string) as NSString
        case .number:
            if let integer = value.integer(in: text.span.bytes) { return NSNumber(value: integer) }
            return NSNumber(value: try #require(Double(String(decoding: text[value.range], as: UTF8.self))))
        case .array:
            var elements: [JSONValue] = []
            try JSONScanner().forEachElement(of: value, in: text.span.bytes) { elements.append($0) }
            return try elements.map { try Self.rebuild($0, text) } as NSArray
        case .object:
            var members: [(String, JSONValue)] = []
            try JSONScanner().forEachMember(of: value, in: text.span.bytes) {
                members.append(($0.string(in: text.span.bytes), $1))
            }
            let object = NSMutableDictionary()
            for (key, member) in members { object[key as NSString] = try Self.rebuild(member, text) }
            return object
        }
    }
}
