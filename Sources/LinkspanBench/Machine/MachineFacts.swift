internal import Glibc

/// What a reader needs to know of the machine that figures come from.
struct MachineFacts: Sendable {
    var processor: String
    var cores: Int
    var memoryGigabytes: Int
    var system: String
    var kernel: String

    static func read() -> MachineFacts {
        let info = ProcessMeter.text("/proc/cpuinfo")
        var name = utsname()
        uname(&name)
        let kernel = withUnsafeBytes(of: &name.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        return MachineFacts(
            processor: Self.value("model name", in: info, separator: ":") ?? "unknown processor",
            cores: Cores.allowed().count,
            memoryGigabytes: sysconf(Int32(_SC_PHYS_PAGES)) * Int(getpagesize()) >> 30,
            system: Self.value("PRETTY_NAME", in: ProcessMeter.text("/etc/os-release"), separator: "=") ?? "Linux",
            kernel: kernel)
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
