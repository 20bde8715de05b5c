/// Dates as `Date.prototype.toISOString` writes them.
public enum CivilTime {
    /// `2026-11-21T02:03:04.005Z`; years beyond 9999 with a sign and six digits. Clamped to the range that JavaScript's dates have.
    public static func text(secondsSince1970 seconds: Double) -> String {
        let milliseconds = Int64(min(max((seconds * 1000).rounded(.down), -8.64e15), 8.64e15))
        let (days, inDay) = milliseconds.flooredQuotientAndRemainder(dividingBy: 86_400_000)
        let date = Self.date(daysSince1970: days)
        let year =
            (0...9999).contains(date.year)
            ? Self.padded(date.year, 4)
            : (date.year < 0 ? "-" : "+") + Self.padded(abs(date.year), 6)
        let time = [inDay / 3_600_000, inDay / 60_000 % 60, inDay / 1000 % 60].map { Self.padded($0, 2) }
        return
            "\(year)-\(Self.padded(date.month, 2))-\(Self.padded(date.day, 2))T\(time.joined(separator: ":")).\(Self.padded(inDay % 1000, 3))Z"
    }

    /// The Gregorian calendar in eras of 400 years (146,097 days) that begin in March, so that the leap day comes last.
    private static func date(daysSince1970 days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let (era, dayOfEra) = (days + 719_468).flooredQuotientAndRemainder(dividingBy: 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        return (year, month, dayOfYear - (153 * monthFromMarch + 2) / 5 + 1)
    }

    private static func padded(_ value: Int64, _ width: Int) -> String {
        let digits = String(value)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}

extension Int64 {
    fileprivate func flooredQuotientAndRemainder(dividingBy divisor: Int64) -> (Int64, Int64) {
        let (quotient, remainder) = self.quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }
}
