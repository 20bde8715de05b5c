internal import TestSupport
internal import Testing

/// permessage-deflate with a client that compresses by other means than ours, Python's zlib.
struct CompressingClientTests {
    @Test(arguments: [0, 12, 15])
    func `a client gets back, compressed, what it published compressed`(window: Int) async throws {
        let instance = try await Instance("one", clients: ", compression: { level: 3, minimum: 1KiB }")
        let client = try ChildProcess(
            "python3", [Clients.path("compressing_client.py"), "127.0.0.1", "\(instance.port)", "\(window)"])
        let line = try await client.output.first("message") { $0.contains("\"event\": \"message\"") }.event
        let message = try JSON(parsing: line)
        #expect(message["same"] == true)
        #expect(message["compressed"] == true)
        #expect(try #require(message["length"].int) < #require(message["inflated"].int) / 5)
        try await client.stop()
        try await instance.stop()
    }
}
