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
    /// Threads that ran or wanted to, on average over the last minute.
    var load: Double

    /// What else runs takes more than a tenth of the machine: figures then say as much about that.
    var isBusy: Bool { self.load > Double(self.cores) / 10 }

    static func read() -> MachineFacts {
        let info = ProcessMeter.text("/proc/cpuinfo")
        var name = utsname()
        uname(&name)
        let kernel = withUnsafeBytes(of: &name.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        let congestionControl = ProcessMeter.text("/proc/sys/net/ipv4/tcp_congestion_control")
        var load = 0.0
        getloadavg(&load, 1)
        return MachineFacts(
            processor: Self.value("model name", in: info, separator: ":") ?? "unknown processor",
            cores: Cores.allowed().count,
            memoryGigabytes: sysconf(Int32(_SC_PHYS_PAGES)) * Int(getpagesize()) >> 30,
            system: Self.value("PRETTY_NAME", in: ProcessMeter.text("/etc/os-release"), separator: "=") ?? "Linux",
            kernel: kernel, congestionControl: String(congestionControl.prefix { $0 != "\n" }), load: load)
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
