public import Foundation
internal import Glibc
internal import Synchronization

/// A folder of its own below the system's temporary folder, removed when the test process ends.
public struct TestFolder: Sendable {
    public let url: URL

    public var path: String { self.url.path }

    /// - Parameter name: a few letters that say what it is for.
    public init(_ name: String) throws {
        self.url = try TestRun.folder().appendingPathComponent("\(name)-\(TestRun.nextNumber())")
        try FileManager.default.createDirectory(at: self.url, withIntermediateDirectories: true)
    }

    /// Writes a file and returns its path.
    @discardableResult
    public func write(_ text: String, to name: String, mode: mode_t = 0o644) throws -> String {
        let file = self.url.appendingPathComponent(name)
        try FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: file)
        chmod(file.path, mode)
        return file.path
    }

    public func file(_ name: String) -> String { self.url.appendingPathComponent(name).path }
}

/// What one test process shares: numbers, its temporary folder, and the clean-up at its end.
enum TestRun {
    private static let numbers = Atomic<Int>(0)

    static func nextNumber() -> Int { self.numbers.add(1, ordering: .relaxed).newValue }

    private static let root: Result<URL, any Error> = Result {
        let root = FileManager.default.temporaryDirectory.appendingPathComponent("linkspan-tests-\(getpid())")
        try FileManager.default.createDirectory(at: root, withIntermediateDirectories: true)
        // Children die with this process by themselves (PR_SET_PDEATHSIG); their folders do not.
        atexit {
            if case .success(let root) = TestRun.root { try? FileManager.default.removeItem(at: root) }
        }
        return root
    }

    static func folder() throws -> URL { try self.root.get() }
}
