import Glibc
import TestSupport
import Testing

@testable import LinkspanBench

@Suite(.timeLimit(.minutes(3)))
struct CaretakerTests {
    @Test func `what a benchmark started ends with it, and its folders go`() async throws {
        let folder = try ScratchFolder()
        let left = try TestFolder("left")
        let server = try ServerProcess(["sleep", "600"], cores: [], log: folder.file("log"))
        let process = server.meter.process
        do {
            let caretaker = Caretaker()
            caretaker.started(group: process)
            caretaker.made(folder: left.path)
        }
        _ = try await eventually("the server is ended") {
            waitpid(process, nil, WNOHANG) == process ? true : nil
        }
        _ = try await eventually("the folder is removed") {
            access(left.path, F_OK) != 0 ? true : nil
        }
    }

    @Test func `what ended before is left alone`() async throws {
        let folder = try ScratchFolder()
        let (kept, left) = (try TestFolder("kept"), try TestFolder("left"))
        do {
            let caretaker = Caretaker()
            caretaker.made(folder: kept.path)
            caretaker.made(folder: left.path)
            caretaker.removed(folder: kept.path)
        }
        _ = try await eventually("the other folder is removed") {
            access(left.path, F_OK) != 0 ? true : nil
        }
        #expect(access(kept.path, F_OK) == 0)
        withExtendedLifetime(folder) {}
    }
}
