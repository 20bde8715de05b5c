import Foundation

@testable import LinkspanBench

enum Programs {
    /// Where the build has put the programs: beside the bundle of the tests.
    static let folder: String = {
        let tests = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return (tests as NSString).deletingLastPathComponent
    }()

    static let tools = Tools(linkspan: "\(folder)/linkspan", bench: "\(folder)/linkspan-bench")
}
