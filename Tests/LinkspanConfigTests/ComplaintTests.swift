internal import LinkspanConfig
internal import Testing

/// Each rule of the configuration: what is written, and the exact words about it.
struct ComplaintTests {
    struct Case: CustomTestStringConvertible, Sendable {
        var rule: String
        var text: String
        var complaint: String
        var testDescription: String { self.rule }

        init(_ rule: String, _ text: String, _ complaint: String) {
            self.rule = rule
            self.text = text
            self.complaint = complaint
        }
    }

    @Test(arguments: keys + scalars + quantities + references + urls + substitutions + syntax)
    func `each mistake is told with its place and what to do`(_ example: Case) {
        #expect(complaints(example.text) == example.complaint)
    }

    private static let keys: [Case] = [
        Case("right", withBridge(), ""),
        Case("empty file", "# nothing\n", "bridges.yaml: version is missing\n    write version: 1"),
        Case(
            "wrong version", "version: 2",
            "bridges.yaml:1:10: version: expected 1, found the number 2\n    did you mean 1?"),
        Case(
            "unknown key",
            withBridge("chanels: [ \"a\" ]"),
            """
            bridges.yaml:7:5: unknown key "chanels" in bridge "one"
                did you mean "channels"?  allowed: ack, broker, brokers, buffer, channels, consume, direction, events, group, guarantee, interest, \
            linger, max_hops, name, probe, promises, repair, required, retry, transit
            """),
        Case(
            "unknown key of a block",
            "version: 1\nserver: { clients: { prot: 80 } }",
            """
            bridges.yaml:2:22: unknown key "prot" in server.clients
                did you mean "port"?  allowed: codec, compression, host, path, port, protocol, tls
            """),
        Case(
            "unknown key at the top",
            "version: 1\nquux: 1",
            """
            bridges.yaml:2:1: unknown key "quux" in the file
                allowed: bridges, brokers, hooks, instance, permissions, server, version
            """),
        Case(
            "unknown key of an option block",
            "version: 1\nbrokers:\n  hub:\n    type: plain\n    urls: plain://h\n    plain: { modes: streams }",
            """
            bridges.yaml:6:14: unknown key "modes" in plain of broker "hub"
                did you mean "mode"?  allowed: block, client, keepalive, mode, retain, window
            """),
        Case(
            "duplicate key",
            "version: 1\nserver:\n  event_loops: 1\n  event_loops: 2",
            "bridges.yaml:4:3: duplicate key \"event_loops\"\n    it stands first in line 3"),
        Case(
            "duplicate bridge",
            withBridge() + "  one: { broker: hub }",
            "bridges.yaml:7:3: duplicate key \"one\"\n    it stands first in line 5"),
        Case(
            "missing keys",
            "version: 1\nbrokers:\n  hub: {}\nbridges:\n  one: {}",
            """
            bridges.yaml:3:3: broker "hub": type is missing
                write type: plain
            bridges.yaml:3:3: broker "hub": urls is missing
            bridges.yaml:5:3: bridge "one": broker is missing
                broker names one, brokers several that all carry the same messages
            """),
        Case(
            "bad name of an entry", "version: 1\nbrokers:\n  a b: { type: plain, urls: plain://h }",
            "bridges.yaml:3:3: bad name \"a b\" for a broker\n    1 to 64 characters of A-Z a-z 0-9 _ -"),
        Case(
            "list for a block", "version: 1\nserver: [ 1 ]",
            "bridges.yaml:2:9: server: expected a block of keys, found a list"),
        Case(
            "text for the file", "hello",
            "bridges.yaml:1:1: expected a block of keys, found \"hello\""
        ),
        Case(
            "text for a map", "version: 1\nbridges: plant",
            "bridges.yaml:2:10: bridges: expected bridge names with a block of keys each, found \"plant\""),
    ]

    private static let scalars: [Case] = [
        Case(
            "number for a host", "version: 1\nserver: { clients: { host: 1883 } }",
            "bridges.yaml:2:28: server.clients.host: expected a host name, found the number 1883; did you mean `port: 1883`?"
        ),
        Case(
            "port in a host", "version: 1\nserver: { clients: { host: \"a:80\" } }",
            "bridges.yaml:2:28: server.clients.host: expected a host name, found \"a:80\""),
        Case(
            "port out of range", "version: 1\nserver: { clients: { port: 65536 } }",
            "bridges.yaml:2:28: server.clients.port: expected a whole number from 0 to 65535, found the number 65536"),
        Case(
            "port in quotes", "version: 1\nserver: { clients: { port: \"80\" } }",
            """
            bridges.yaml:2:28: server.clients.port: expected a whole number from 0 to 65535, found "80"
                write 80 without quotes
            """),
        Case(
            "yes for true", withBridge("required: yes"),
            "bridges.yaml:7:15: bridge \"one\": required: expected true or false, found yes\n    write true"),
        Case(
            "yes for a text", "version: 1\ninstance: { id: a, site: no }",
            """
            bridges.yaml:2:26: instance.site: expected text, found no, which YAML may read as true or false
                write "no" in quotes
            """),
        Case(
            "number for a text", "version: 1\ninstance: { id: a, site: 12 }",
            "bridges.yaml:2:26: instance.site: expected text, found the number 12\n    write \"12\" in quotes"),
        Case(
            "nothing for a text", "version: 1\ninstance:\n  id:",
            "bridges.yaml:3:6: instance.id: expected 1 to 64 characters of A-Z a-z 0-9 . _ -, found nothing"),
        Case(
            "bad instance id", "version: 1\ninstance: { id: a b }",
            "bridges.yaml:2:17: instance.id: expected 1 to 64 characters of A-Z a-z 0-9 . _ -, found \"a b\""),
        Case(
            "unknown word", withBridge("direction: bot"),
            "bridges.yaml:7:16: bridge \"one\": direction: expected one of in, out, both, found \"bot\"\n    did you mean both?"
        ),
        Case(
            "unknown word in a list", withBridge("events: [ publish, unsubscrib ]"),
            """
            bridges.yaml:7:24: bridge "one": events: expected one of publish, subscribe, unsubscribe, found "unsubscrib"
                did you mean unsubscribe?
            """),
        Case(
            "kind of buffer", withBridge("buffer: { type: tape }"),
            "bridges.yaml:7:21: bridge \"one\": buffer.type: expected one of memory, disk, found \"tape\""),
        Case(
            "buffer in memory with a rule for syncing", withBridge("buffer: { sync: always }"),
            """
            bridges.yaml:7:15: bridge "one": buffer.sync is for a buffer on disk
                write type: disk, or leave it out
            """),
        Case(
            "origin with a path", "version: 1\nserver: { origins: [ \"https://a/b\" ] }",
            "bridges.yaml:2:22: server.origins: expected an origin such as https://app.example.com, found \"https://a/b\""
        ),
        Case(
            "path without a slash", "version: 1\nserver: { clients: { path: sc } }",
            "bridges.yaml:2:28: server.clients.path: expected a path that begins with /, found \"sc\""),
        Case(
            "list for a text", "version: 1\ninstance: { id: [ a ] }",
            "bridges.yaml:2:17: instance.id: expected 1 to 64 characters of A-Z a-z 0-9 . _ -, found a list"),
        Case(
            "bad glob", withBridge("channels: [ 'a\\' ]"),
            "bridges.yaml:7:17: bridge \"one\": channels.include: bad glob \"a\\\": the pattern ends with a lone `\\`"),
        Case(
            "number for a glob", withBridge("channels: { exclude: 7 }"),
            """
            bridges.yaml:7:26: bridge "one": channels.exclude: expected a glob such as chat/**, found the number 7
                write "7" in quotes
            """),
        Case(
            "no glob", withBridge("channels: []"),
            "bridges.yaml:7:5: bridge \"one\": channels has no glob\n    write [\"**\"] for all channels"),
        Case(
            "control characters are not repeated", "version: 1\ninstance: { id: a, \"s\\u001bite\": x }",
            """
            bridges.yaml:2:20: unknown key "s\\u{1B}ite" in instance
                did you mean "site"?  allowed: id, site
            """),
    ]

    private static let quantities: [Case] = [
        Case(
            "bare number for a duration", withBridge("retry: { max: 30 }"),
            "bridges.yaml:7:19: bridge \"one\": retry.max: expected a duration such as 30s, found the number 30\n    did you mean 30s?"
        ),
        Case(
            "unknown unit of time", withBridge("linger: 30sec"),
            "bridges.yaml:7:13: bridge \"one\": linger: expected a duration such as 30s, found \"30sec\"\n    units: ms, s, m, h, d"
        ),
        Case(
            "duration out of range", withBridge("retry: { max: 2h }"),
            "bridges.yaml:7:19: bridge \"one\": retry.max: expected a duration from 10ms to 1h, found \"2h\""),
        Case(
            "bare number for a size", withBridge("buffer: { size: 65536 }"),
            "bridges.yaml:7:21: bridge \"one\": buffer.size: expected a size such as 64KiB, found the number 65536\n    did you mean 65536B?"
        ),
        Case(
            "unknown unit of size", withBridge("buffer: { size: 64K }"),
            "bridges.yaml:7:21: bridge \"one\": buffer.size: expected a size such as 64KiB, found \"64K\"\n    units: B, KB, MB, GB, KiB, MiB, GiB"
        ),
        Case(
            "size out of range", withBridge("buffer: { size: 1KiB }"),
            "bridges.yaml:7:21: bridge \"one\": buffer.size: expected a size from 4KiB to 1024GiB, found \"1KiB\""),
        Case(
            "retry the wrong way round", withBridge("retry: { initial: 30s, max: 1s }"),
            "bridges.yaml:7:14: bridge \"one\": retry.initial is longer than retry.max"),
    ]

    private static let references: [Case] = [
        Case(
            "unknown broker",
            "version: 1\nbrokers: { plant: { type: plain, urls: plain://h } }\nbridges: { one: { broker: plan } }",
            "bridges.yaml:3:19: bridge \"one\": unknown broker \"plan\"\n    did you mean \"plant\"?  known: plant"),
        Case(
            "no broker at all", "version: 1\nbridges: { one: { broker: plant } }",
            "bridges.yaml:2:19: bridge \"one\": unknown broker \"plant\"\n    none is declared"),
        Case(
            "unknown type", "version: 1\nbrokers: { plant: { type: plane, urls: plain://h, plain: { mode: pubsub } } }",
            "bridges.yaml:2:27: broker \"plant\": type: expected plain, found \"plane\"\n    did you mean plain?"),
        Case(
            "unknown bridge in transit", withBridge("transit: [ two ]"),
            "bridges.yaml:7:16: bridge \"one\": transit names no bridge: \"two\"\n    known: one"),
        Case(
            "itself in transit", withBridge("transit: [ one ]"),
            "bridges.yaml:7:16: bridge \"one\": transit names the bridge itself"),
        Case(
            "transit of a bridge that sends nothing",
            withBridge("direction: in", "transit: [ two ]") + "  two: { broker: hub }",
            """
            bridges.yaml:8:5: bridge "one": transit carries messages to the broker, and direction in sends nothing
                choose direction both or out, or leave out transit
            """),
        Case(
            "interest of a bridge that receives nothing", withBridge("direction: out", "interest: always"),
            """
            bridges.yaml:8:5: bridge "one": interest always receives everything, and direction out receives nothing
                choose direction both or in, or leave out interest
            """),
        Case(
            "group that nobody shares", withBridge("direction: in", "group: workers"),
            """
            bridges.yaml:8:5: bridge "one": group without consume: one_of
                without it every instance gets everything
            """),
        Case(
            "group name that upstreams reserve", withBridge("direction: in", "consume: one_of", "group: a/b"),
            "bridges.yaml:9:12: bridge \"one\": group: expected 1 to 64 characters of A-Z a-z 0-9 . _ -, found \"a/b\""),
        Case(
            "consume one_of at a broker that cannot choose", withBridge("direction: in", "consume: one_of"),
            """
            bridges.yaml:8:5: broker "hub", as configured, gives every instance everything
                leave out consume
            """),
        Case(
            "name without a channel", withBridge("name: sc"),
            "bridges.yaml:7:5: bridge \"one\": bad name \"sc\": the template has no {channel}"),
        Case(
            "a promise that cannot be kept", withBridge("guarantee: at_least_once"),
            """
            bridges.yaml:7:5: bridge "one": guarantee: at_least_once is not possible with plain mode pubsub
                choose plain mode streams, or guarantee at_most_once
            """),
        Case(
            "certificate without its key",
            "version: 1\nbrokers:\n  hub: { type: plain, urls: plain://h, tls: { certificate: a.pem } }",
            "bridges.yaml:3:47: broker \"hub\": tls.certificate without tls.key"),
    ]

    private static let urls: [Case] = [
        Case("no URL", broker("[]"), "bridges.yaml:3:23: broker \"hub\": urls has no URL"),
        Case(
            "no scheme", broker("localhost:1000"),
            "bridges.yaml:3:29: broker \"hub\": expected a URL, found \"localhost:1000\"\n    such as plain://127.0.0.1:1000"
        ),
        Case(
            "another broker's scheme", broker("mqtt://h"),
            "bridges.yaml:3:29: broker \"hub\": plain is not reached by \"mqtt\" URLs\n    known: plain, plains"),
        Case(
            "credentials are refused and not repeated", broker("\"plain://user:geheim@h\""),
            """
            bridges.yaml:3:29: broker "hub": user name and password do not belong in a URL
                write username: and password: "${file:/path}" beside urls
            """),
        Case(
            "no host", broker("plain://"),
            "bridges.yaml:3:29: broker \"hub\": expected a host name in the URL, found \"\""),
        Case(
            "bad port", broker("plain://h:70000"),
            "bridges.yaml:3:29: broker \"hub\": expected a port from 1 to 65535 in the URL, found \"70000\""),
        Case(
            "query", broker("\"plain://h/?a=b\""),
            "bridges.yaml:3:29: broker \"hub\": a URL of plain has no query\n    options stand below plain: in the same broker"
        ),
        Case(
            "bad escape", broker("plain://h/%zz"),
            """
            bridges.yaml:3:29: broker "hub": bad percent escape in the path of the URL
                write %25 for a percent sign, %2F for a slash
            """),
    ]

    private static let substitutions: [Case] = [
        Case(
            "unset variable", "version: 1\ninstance: { id: \"${NOBODY}\" }",
            "bridges.yaml:2:17: instance.id: the environment variable NOBODY is not set\n    give a default with ${NOBODY:-default}"
        ),
        Case(
            "unset variable with a message", "version: 1\ninstance: { id: \"${NOBODY:?say who you are}\" }",
            "bridges.yaml:2:17: instance.id: NOBODY is not set: say who you are"),
        Case(
            "missing file", broker("plain://h", "password: \"${file:/run/none}\""),
            "bridges.yaml:4:15: broker \"hub\": password: cannot read /run/none: No such file or directory"),
        Case(
            "open brace", "version: 1\ninstance: { id: a, site: \"${A\" }",
            "bridges.yaml:2:26: instance.site: \"${\" without \"}\"\n    write $$ for a dollar sign"),
        Case(
            "unknown form", "version: 1\ninstance: { id: a, site: \"${A-b}\" }",
            """
            bridges.yaml:2:26: instance.site: "${A-b}" is not understood
                known: ${VAR}, ${VAR:-default}, ${VAR:?message}, ${file:/path}, $$
            """),
        Case(
            "a password in the file is taken with a warning", broker("plain://h", "password: geheim"),
            """
            bridges.yaml:4:15: warning: broker "hub": password is written in the file
                keep it elsewhere: "${file:/run/secrets/password}" or "${VARIABLE}"
            """),
        Case(
            "a number as password is not repeated", broker("plain://h", "password: 4711"),
            """
            bridges.yaml:4:15: broker "hub": password: expected text, found a value without quotes that is not text
                write it in quotes
            """),
    ]

    private static let syntax: [Case] = [
        Case(
            "unclosed list", "version: 1\nserver: { origins: [ a",
            "bridges.yaml:3:1: did not find expected ',' or ']', while parsing a flow sequence of line 2"),
        Case(
            "tab", "version: 1\nserver:\n\tclients: {}",
            "bridges.yaml:3:1: found character that cannot start any token, while scanning for the next token"),
        Case(
            "two documents", "version: 1\n---\nversion: 1",
            "bridges.yaml:2:1: a second document begins here\n    a configuration is one document"),
        Case("unknown alias", "version: 1\nserver: *s", "bridges.yaml:2:9: the alias *s names no anchor above it"),
        Case(
            "list as a key", "version: 1\n? [ a ]\n: b",
            "bridges.yaml:2:3: expected a key, found a list, a block or an alias"),
        Case(
            "control characters", "version: 1\nserver: \u{1}",
            "bridges.yaml:2:9: not a text in UTF-8: control characters are not allowed"),
    ]

    private static func broker(_ url: String, _ lines: String...) -> String {
        let head = "version: 1\nbrokers:\n  hub: { type: plain, urls: \(url)"
        guard !lines.isEmpty else { return head + " }" }
        return head + ",\n    " + lines.joined(separator: ",\n    ") + " }"
    }
}
