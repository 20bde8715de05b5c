/// The middle value, or the mean of the two in the middle; nil for none.
func median(_ values: [Double]) -> Double? {
    guard !values.isEmpty else { return nil }
    let sorted = values.sorted()
    let middle = sorted.count / 2
    return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

extension Double {
    /// Three significant digits, without an exponent: `0.312`, `8.91`, `1240`.
    var short: String {
        guard self.isFinite else { return "-" }
        let magnitude = abs(self)
        let places = magnitude >= 100 || magnitude == 0 ? 0 : magnitude >= 10 ? 1 : magnitude >= 1 ? 2 : 3
        var scale = 1.0
        for _ in 0..<places { scale *= 10 }
        let rounded = (magnitude * scale).rounded()
        let whole = UInt64(rounded / scale)
        let sign = self < 0 ? "-" : ""
        guard places > 0 else { return sign + whole.grouped }
        let fraction = String(UInt64(rounded) - whole * UInt64(scale))
        return "\(sign)\(whole)." + String(repeating: "0", count: places - fraction.count) + fraction
    }
}

extension UInt64 {
    /// `1,234,567`.
    var grouped: String {
        let digits = Array(String(self))
        var text = ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index) % 3 == 0 { text.append(",") }
            text.append(digit)
        }
        return text
    }
}
