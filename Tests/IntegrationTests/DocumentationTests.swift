internal import Foundation
internal import LinkspanAMQP
internal import LinkspanConfig
internal import LinkspanMQTT
internal import LinkspanRedis
internal import Testing

struct DocumentationTests {
    @Test
    func `every key of bridges.yaml is in the documentation`() throws {
        let definition = BlockDefinition.linkspan(kinds: [MQTTBridge.self, RedisBridge.self, AMQPBridge.self])
        let pages = try ["configuration", "operations"].map { try Self.page("docs/\($0).md") }.joined()
        let named = Set(
            pages.split(separator: "`", omittingEmptySubsequences: false).enumerated()
                .filter { !$0.offset.isMultiple(of: 2) }.flatMap { $0.element.split(separator: ".") }.map(String.init))
        let missing = Self.keys(of: definition).subtracting(named)
        // These are headings of the page.
        #expect(missing.subtracting(["version", "instance", "server", "bridges", "permissions", "hooks"]) == [])
    }

    @Test(arguments: [
        "README.md", "docs/configuration.md", "docs/operations.md", "docs/delivery.md", "docs/envelope.md",
        "docs/authentication.md",
        "docs/migration.md", "docs/hooks.md", "docs/metrics.md", "docs/performance.md",
        "CHANGELOG.md",
    ])
    func `links of a page lead to files that exist`(_ page: String) throws {
        let folder = (page as NSString).deletingLastPathComponent
        let links = try Self.page(page).matches(of: /\]\(([^)#]+)[^)]*\)/).map { String($0.1) }
        for link in links where !link.hasPrefix("http") {
            #expect((try? Self.page((folder as NSString).appendingPathComponent(link))) != nil, "\(link)")
        }
    }

    private static func keys(of block: BlockDefinition) -> Set<String> {
        let variants = block.variants.map { Array($0.keys.values.joined()) } ?? []
        return (block.keys + variants).reduce(into: []) { keys, key in
            keys.insert(key.key)
            switch key.kind {
            case .block(let inner), .blockOrList(let inner, _), .map(let inner): keys.formUnion(Self.keys(of: inner))
            default: break
            }
        }
    }

    private static func page(_ name: String) throws -> String {
        let root = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../..")
        let data = try Data(contentsOf: root.appending(path: name))
        return String(decoding: data, as: UTF8.self)
    }
}
