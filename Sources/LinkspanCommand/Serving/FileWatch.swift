internal import Foundation

/// Tells when files have changed, and are done changing: a certificate and its key are written one after the other.
struct FileWatch {
    /// What tells one content of a file from another, without reading it.
    struct Stamp: Hashable {
        var inode: UInt64
        var size: UInt64
        var changed: Date

        /// Of the file that `path` leads to, links followed; nil when there is none.
        init?(path: String) {
            let target = URL(filePath: path).resolvingSymlinksInPath().path
            guard let attributes = try? FileManager.default.attributesOfItem(atPath: target) else { return nil }
            self.init(
                inode: attributes[.systemFileNumber] as? UInt64 ?? 0, size: attributes[.size] as? UInt64 ?? 0,
                changed: attributes[.modificationDate] as? Date ?? .distantPast)
        }

        init(inode: UInt64, size: UInt64, changed: Date) {
            self.inode = inode
            self.size = size
            self.changed = changed
        }
    }

    /// As they were when they were read last.
    private var taken: [Stamp?]
    private var seen: [Stamp?]

    init(_ stamps: [Stamp?]) {
        self.taken = stamps
        self.seen = stamps
    }

    /// - Returns: whether they are to be read again: others than those taken last, and the same as when this was last called.
    mutating func isChanged(_ stamps: [Stamp?]) -> Bool {
        defer { self.seen = stamps }
        guard stamps != self.taken, stamps == self.seen else { return false }
        self.taken = stamps
        return true
    }
}
