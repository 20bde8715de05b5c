internal import ArgumentParser
internal import LinkspanClient
internal import LinkspanConfig
internal import LinkspanWire
internal import NIOPosix

struct PublishCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "publish", abstract: "Publish to a channel and wait for the acknowledgement.",
        discussion: """
            Exit status 0 when everything was acknowledged, 65 when data is not JSON, 69 when the server cannot be reached,
            75 when it did not answer in time, 77 when it refused.
            """)

    @OptionGroup var client: ClientOptions

    @Argument(help: "The channel.")
    var channel: String

    @Argument(help: "JSON to publish, or - to read one publish per line from standard input.")
    var data: String

    @Flag(help: "Publish the data as a string instead of JSON.")
    var text = false

    @Flag(help: "Print what the server answers: the receipt, where the bridges of the channel have an ack; else null.")
    var receipt = false

    @Option(help: "Longest wait for the acknowledgement, such as 5s.")
    var timeout = "10s"

    func run() async throws {
        var settings = try self.client.settings()
        guard let timeout = Quantity.duration(self.timeout), timeout > .zero else {
            throw ValidationError("--timeout: expected a duration such as 5s, found \"\(self.timeout)\"")
        }
        settings.ackTimeout = timeout
        settings.connectTimeout = min(settings.connectTimeout, timeout)
        // Data that cannot be sent needs no connection to be found out.
        let single = self.data == "-" ? nil : try self.checked(Array(self.data.utf8), line: nil)
        let client = SocketClusterClient(settings: settings, logger: ClientOptions.logger)
        let session = PublishSession(
            client: client, options: self.client, url: settings.url, showsReceipts: self.receipt)
        let status = await CommandOutcome.first { finish in
            await session.run(finish) {
                if let single { return await session.publish(single, to: self.channel) }
                return await self.publishLines(session)
            }
        }
        throw status.exitCode
    }

    /// Publishes the lines of standard input in their order, many under way at a time; bad lines are told and skipped.
    private func publishLines(_ session: PublishSession) async -> ExitStatus? {
        var worst = ExitStatus.success
        var lines = StandardInputLines()
        var number = 0
        do throws(StandardInputLines.LineTooLong) {
            while let line = try await lines.next() {
                number += 1
                if line.isEmpty { continue }
                guard let json = try? self.checked(line, line: number) else {
                    worst = .badData
                    continue
                }
                await session.enqueue(json, to: self.channel, line: number)
            }
        } catch {
            Terminal.printError("line \(number + 1) is longer than \(Quantity.text(bytes: StandardInputLines.limit))")
            worst = .badData
        }
        guard let sent = await session.settled() else { return nil }
        return sent == .success ? worst : sent
    }

    /// The JSON to publish.
    ///
    /// - Throws: `ExitCode` 65 after telling why it is none.
    private func checked(_ data: [UInt8], line: Int?) throws -> String {
        let place = line.map { "line \($0): " } ?? ""
        guard let text = String(validating: data, as: UTF8.self) else {
            Terminal.printError("\(place)the data is not UTF-8")
            throw ExitStatus.badData.exitCode
        }
        if self.text { return JSONText(string: text).description }
        do throws(JSONError) {
            return try JSONText(validating: text).description
        } catch {
            Terminal.printError("\(place)the data is not JSON: \(Self.words(error))")
            if line == nil {
                Terminal.printError(
                    "    quote it for the shell, as in '{\"hello\":\"world\"}', or send it as a string with --text")
            }
            throw ExitStatus.badData.exitCode
        }
    }

    private static func words(_ error: JSONError) -> String {
        switch error.reason {
        case .unexpectedByte: "unexpected character at byte \(error.offset)"
        case .unexpectedEnd: "it ends too early"
        case .invalidUTF8: "not UTF-8 at byte \(error.offset)"
        case .tooDeep: "nested too deeply at byte \(error.offset)"
        }
    }
}
