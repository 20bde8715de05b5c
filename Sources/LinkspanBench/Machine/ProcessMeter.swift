internal import Glibc

/// What the kernel says about a process and all that descend from it (proc(5)).
struct ProcessMeter: Sendable {
    let process: pid_t

    /// Time on a CPU of all threads that are alive, in nanoseconds.
    var nanoseconds: UInt64 {
        self.family.reduce(0) { sum, process in
            Self.entries("/proc/\(process)/task").reduce(sum) { sum, thread in
                let text = Self.text("/proc/\(process)/task/\(thread)/schedstat")
                return sum + (text.split(separator: " ").first.flatMap { UInt64($0) } ?? 0)
            }
        }
    }

    /// Resident memory, bytes.
    var residentBytes: UInt64 {
        self.family.reduce(0) { sum, process in
            let fields = Self.text("/proc/\(process)/statm").split(separator: " ")
            return sum + (fields.count > 1 ? UInt64(fields[1]) ?? 0 : 0) * UInt64(getpagesize())
        }
    }

    /// The threads whose names begin with this.
    func threads(named prefix: String) -> [pid_t] {
        self.family.flatMap { process in
            Self.entries("/proc/\(process)/task").filter { thread in
                Self.text("/proc/\(process)/task/\(thread)/comm").hasPrefix(prefix)
            }.compactMap { pid_t($0) }
        }
    }

    private var family: [pid_t] {
        var found = [self.process]
        var next = 0
        while next < found.count {
            for thread in Self.entries("/proc/\(found[next])/task") {
                let children = Self.text("/proc/\(found[next])/task/\(thread)/children")
                found += children.split(separator: " ").compactMap { pid_t($0) }
            }
            next += 1
        }
        return found
    }

    private static func entries(_ folder: String) -> [String] {
        guard let open = opendir(folder) else { return [] }
        defer { closedir(open) }
        var names: [String] = []
        while let entry = readdir(open) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names
    }

    static func text(_ path: String) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return "" }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(descriptor, &buffer, buffer.count)
            guard count > 0 else { break }
            bytes += buffer[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
