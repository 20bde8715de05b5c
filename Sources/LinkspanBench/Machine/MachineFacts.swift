internal import Glibc

/// What a reader needs to know of the machine that figures come from.
struct MachineFacts: Sendable {
    var processor: String
    var cores: Int
    var memoryGigabytes: Int
    var system: String
    var kernel: String
    /// `net.ipv4.tcp_congestion_control`; loopback has it, too.
    var congestionControl: String
    /// Cores that other work kept busy in the second before.
    var busyCores: Double

    /// What else runs takes more than a tenth of the machine: figures then say as much about that.
    var isBusy: Bool { self.busyCores > Double(self.cores) / 10 }

    /// Takes a second.
    static func read() -> MachineFacts {
        let info = ProcessMeter.text("/proc/cpuinfo")
        var name = utsname()
        uname(&name)
        let kernel = withUnsafeBytes(of: &name.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        let congestionControl = ProcessMeter.text("/proc/sys/net/ipv4/tcp_congestion_control")
        return MachineFacts(
            processor: Self.value("model name", in: info, separator: ":") ?? "unknown processor",
            cores: Cores.allowed().count,
            memoryGigabytes: (sysconf(Int32(_SC_PHYS_PAGES)) * Int(getpagesize())) >> 30,
            system: Self.value("PRETTY_NAME", in: ProcessMeter.text("/etc/os-release"), separator: "=") ?? "Linux",
            kernel: kernel, congestionControl: String(congestionControl.prefix { $0 != "\n" }),
            busyCores: Self.busyCores(over: 1_000_000))
    }

    private static func busyCores(over microseconds: useconds_t) -> Double {
        let before = Self.coreTimes()
        usleep(microseconds)
        let after = Self.coreTimes()
        guard after.all > before.all else { return 0 }
        let idle = Double(after.idle - before.idle) / Double(after.all - before.all)
        return (1 - idle) * Double(sysconf(Int32(_SC_NPROCESSORS_ONLN)))
    }

    /// Of all cores together since the start of the machine (proc(5), `/proc/stat`).
    private static func coreTimes() -> (idle: UInt64, all: UInt64) {
        let times = ProcessMeter.text("/proc/stat").prefix { $0 != "\n" }.split(separator: " ").dropFirst().prefix(8)
            .compactMap { UInt64($0) }
        // Waiting for a disk keeps no core busy.
        return (times.dropFirst(3).prefix(2).reduce(0, +), times.reduce(0, +))
    }

    private static func value(_ key: String, in text: String, separator: Character) -> String? {
        for line in text.split(separator: "\n") where line.hasPrefix(key) {
            guard let at = line.firstIndex(of: separator) else { continue }
            let value = line[line.index(after: at)...].drop { $0 == " " || $0 == "\"" }
            return String(value.prefix { $0 != "\"" })
        }
        return nil
    }
}
