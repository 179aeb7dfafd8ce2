// Dates as HTTP writes them, and `Retry-After`, which is one or a number of seconds.

/// `Sun, 06 Nov 1994 08:49:37 GMT`: RFC 9110 §5.6.7. Instants are whole seconds since 1970, UTC.
package enum HTTPDate {
    private static let days = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]  // the first of 1970 was a Thursday
    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    /// - Parameter unixSeconds: from the year 0 to the year 9999; beyond, the nearest of these.
    package static func format(_ unixSeconds: Int64) -> String {
        let seconds = min(max(unixSeconds, -62_167_219_200), 253_402_300_799)
        let (day, second) = floorDivide(seconds, 86_400)
        let date = civil(day)
        let weekday = days[Int(floorDivide(day, 7).remainder)]
        return "\(weekday), \(padded(date.day)) \(months[Int(date.month) - 1]) \(padded(date.year, 4)) "
            + "\(padded(second / 3600)):\(padded(second / 60 % 60)):\(padded(second % 60)) GMT"
    }

    /// Parses all three forms that RFC 9110 asks recipients to accept; the name of the day is not compared.
    package static func parse(_ field: some StringProtocol) -> Int64? {
        let words = String(field).split { $0 == " " || $0 == "," || $0 == "\t" }.map(String.init)
        switch words.count {
        case 6:  // Sun, 06 Nov 1994 08:49:37 GMT
            guard words[5] == "GMT", words[1].utf8.count == 2, words[3].utf8.count == 4 else { return nil }
            return instant(day: words[1], month: words[2], year: number(words[3]), time: words[4])
        case 5:  // Sun Nov  6 08:49:37 1994
            guard words[4].utf8.count == 4 else { return nil }
            return instant(day: words[2], month: words[1], year: number(words[4]), time: words[3])
        case 4:  // Sunday, 06-Nov-94 08:49:37 GMT
            let parts = words[1].split(separator: "-", omittingEmptySubsequences: false).map(String.init)
            guard words[3] == "GMT", parts.count == 3, parts[2].utf8.count == 2 else { return nil }
            // No year beyond 50 years ahead may be meant; 70 and more can only be the last century's for long yet.
            let year = number(parts[2]).map { $0 < 70 ? 2000 + $0 : 1900 + $0 }
            return instant(day: parts[0], month: parts[1], year: year, time: words[2])
        default: return nil
        }
    }

    private static func instant(day: String, month: String, year: Int64?, time: String) -> Int64? {
        guard let day = number(day), let year, let monthIndex = months.firstIndex(of: month) else { return nil }
        let parts = time.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 3, parts.allSatisfy({ $0.utf8.count == 2 }) else { return nil }
        guard let hour = number(parts[0]), let minute = number(parts[1]), let second = number(parts[2]) else {
            return nil
        }
        // 60 is a leap second: the second after :59.
        guard hour < 24, minute < 60, second <= 60 else { return nil }
        let days = dayNumber(year: year, month: Int64(monthIndex) + 1, day: day)
        let date = civil(days)
        guard date.day == day, date.month == Int64(monthIndex) + 1 else { return nil }  // no 31 February
        return days * 86_400 + hour * 3600 + minute * 60 + second
    }

    private static func number(_ text: some StringProtocol) -> Int64? {
        guard text.utf8.count <= 4 else { return nil }
        return Substring(text).utf8.number
    }

    private static func padded(_ value: Int64, _ width: Int = 2) -> String {
        let text = String(value)
        return String(repeating: "0", count: max(0, width - text.utf8.count)) + text
    }

    private static func floorDivide(_ value: Int64, _ divisor: Int64) -> (quotient: Int64, remainder: Int64) {
        let (quotient, remainder) = value.quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }

    // The two conversions count in years that begin in March, so that the leap day is the last, and in eras of 400
    // years (146 097 days). After Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".

    private static func dayNumber(year: Int64, month: Int64, day: Int64) -> Int64 {
        let marchYear = month <= 2 ? year - 1 : year
        let (era, yearOfEra) = floorDivide(marchYear, 400)
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }

    private static func civil(_ dayNumber: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let (era, dayOfEra) = floorDivide(dayNumber + 719_468, 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shifted + 2) / 5 + 1)
    }
}

/// When to ask again: RFC 9110 §10.2.3.
package enum RetryAfter {
    /// No answer is worth waiting for longer; it also keeps instants computed from it in range.
    package static let longest = Duration.seconds(30 * 86_400)

    /// - Parameter now: seconds since 1970.
    /// - Returns: never negative, at most `longest`; `nil` if the field is neither seconds nor a date.
    package static func parse(_ field: some StringProtocol, now: Int64) -> Duration? {
        let text = Substring(field).utf8.trimmed
        if let seconds = text.saturatingNumber { return min(.seconds(seconds), longest) }
        guard let date = HTTPDate.parse(Substring(text)) else { return nil }
        return min(max(.zero, .seconds(date - now)), longest)
    }
}
