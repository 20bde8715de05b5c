/// Durations and sizes as people write them.
public enum Quantity {
    /// Nanoseconds of one unit; the order is that of printing.
    private static let durationUnits: [(name: String, nanoseconds: Int64)] = [
        ("d", 86_400_000_000_000), ("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000),
        ("ms", 1_000_000),
    ]

    private static let sizeUnits: [(name: String, bytes: Int)] = [
        ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1000),
        ("kB", 1000), ("B", 1),
    ]

    /// `500ms`, `5s`, `2m`, `1h`, `1d`; also several, as in `1h30m`. Nil for anything else, a bare number included.
    public static func duration(_ text: String) -> Duration? {
        var rest = text[...]
        var total: Int64 = 0
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && $0.isNumber }
            let unit = rest.dropFirst(digits.count).prefix { $0.isASCII && $0.isLetter }
            guard let count = Int64(digits), let scale = Self.durationUnits.first(where: { $0.name == unit }) else {
                return nil
            }
            let (product, overflow) = count.multipliedReportingOverflow(by: scale.nanoseconds)
            let (sum, sumOverflow) = total.addingReportingOverflow(product)
            guard !overflow, !sumOverflow else { return nil }
            total = sum
            rest = rest.dropFirst(digits.count + unit.count)
        }
        return .nanoseconds(total)
    }

    /// `64KiB`, `10MB`, `512B`, in bytes. Nil for anything else, a bare number included.
    public static func size(_ text: String) -> Int? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let unit = text.dropFirst(digits.count)
        guard let count = Int(digits), let scale = Self.sizeUnits.first(where: { $0.name == unit }) else { return nil }
        let (bytes, overflow) = count.multipliedReportingOverflow(by: scale.bytes)
        return overflow ? nil : bytes
    }

    public static func text(_ duration: Duration) -> String {
        let (seconds, attoseconds) = duration.components
        let milliseconds = seconds * 1000 + attoseconds / 1_000_000_000_000_000
        let nanoseconds = Duration.milliseconds(milliseconds) == duration ? milliseconds * 1_000_000 : 0
        for unit in Self.durationUnits where nanoseconds != 0 && nanoseconds % unit.nanoseconds == 0 {
            return "\(nanoseconds / unit.nanoseconds)\(unit.name)"
        }
        return duration == .zero ? "0s" : "\(duration)"
    }

    public static func text(bytes: Int) -> String {
        for unit in Self.sizeUnits.prefix(3) where bytes != 0 && bytes % unit.bytes == 0 {
            return "\(bytes / unit.bytes)\(unit.name)"
        }
        return "\(bytes)B"
    }
}
