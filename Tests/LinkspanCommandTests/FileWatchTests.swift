internal import Foundation
internal import TestSupport
internal import Testing

@testable internal import LinkspanCommand

struct FileWatchTests {
    private func stamp(_ size: UInt64) -> FileWatch.Stamp {
        FileWatch.Stamp(inode: 1, size: size, changed: Date(timeIntervalSince1970: 0))
    }

    @Test func `a change is taken up once, and only when it has settled`() {
        var watch = FileWatch([self.stamp(1), self.stamp(1)])
        let looks: [[FileWatch.Stamp?]] = [
            [self.stamp(1), self.stamp(1)],
            [self.stamp(2), self.stamp(1)], [self.stamp(2), self.stamp(2)], [self.stamp(2), self.stamp(2)],
            [self.stamp(2), self.stamp(2)],
        ]
        let results = looks.map { watch.isChanged($0) }
        #expect(results == [false, false, false, true, false])
    }

    @Test func `a change that is taken back is none`() {
        var watch = FileWatch([self.stamp(1)])
        let results = [2, 1, 1].map { watch.isChanged([self.stamp($0)]) }
        #expect(results == [false, false, false])
    }

    @Test func `files that go and come are seen`() {
        var watch = FileWatch([self.stamp(1)])
        let results = [nil, nil, self.stamp(1), self.stamp(1)].map { watch.isChanged([$0]) }
        #expect(results == [false, true, false, true])
    }

    @Test func `a stamp is that of the file behind a link`() throws {
        let folder = try TestFolder("stamps")
        let (one, two) = (try folder.write("one", to: "one"), try folder.write("three", to: "two"))
        let link = folder.file("link")
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: one)
        let before = try #require(FileWatch.Stamp(path: link))
        #expect(before == FileWatch.Stamp(path: one))
        try FileManager.default.removeItem(atPath: link)
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: two)
        #expect(FileWatch.Stamp(path: link) == FileWatch.Stamp(path: two))
        #expect(FileWatch.Stamp(path: link) != before)
        #expect(FileWatch.Stamp(path: folder.file("nothing")) == nil)
    }
}
