// The Date field's value, formatted once a second.

/// IMF-fixdate (RFC 9110 §5.6.7) of a Unix time; keeps the last one.
struct DateLine {
    private var second: Int64?
    private var text = ""

    mutating func text(at second: Int64) -> String {
        if second != self.second {
            self.second = second
            text = Self.format(second)
        }
        return text
    }

    private static let days = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
    private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

    /// 1970 and later.
    private static func format(_ second: Int64) -> String {
        let day = Int(second / 86_400)
        let date = CivilDate(daysSince1970: day)
        let time = Int(second % 86_400)
        return "\(days[day % 7]), \(two(date.day)) \(months[date.month - 1]) \(date.year) "
            + "\(two(time / 3_600)):\(two(time / 60 % 60)):\(two(time % 60)) GMT"
    }

    private static func two(_ number: Int) -> String {
        number < 10 ? "0\(number)" : "\(number)"
    }
}

/// A day of the Gregorian calendar.
package struct CivilDate: Equatable, Sendable {
    package let year: Int
    /// 1...12 and 1...31.
    package let month: Int
    package let day: Int

    /// Years counted from March, so that the leap day is a year's last.
    ///
    /// - Parameter days: not below zero.
    package init(daysSince1970 days: Int) {
        let shifted = days + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let marchMonth = (5 * dayOfYear + 2) / 153
        day = dayOfYear - (153 * marchMonth + 2) / 5 + 1
        month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    }
}
