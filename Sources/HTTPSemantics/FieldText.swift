// Reading the values of fields byte by byte: white space, numbers, lists.

extension Substring.UTF8View {
    /// Without optional white space (RFC 9110 §5.6.3) at either end.
    var trimmed: Substring.UTF8View {
        var view = self.drop { $0 == 0x20 || $0 == 0x09 }
        while let last = view.last, last == 0x20 || last == 0x09 { view.removeLast() }
        return view
    }

    /// A number of digits only; `nil` where it does not fit.
    var number: Int64? {
        guard let value = saturatingNumber, value < .max else { return nil }
        return value
    }

    /// A number of digits only; one that does not fit is the greatest there is, which is what is meant by one so large.
    var saturatingNumber: Int64? {
        guard !isEmpty else { return nil }
        var value: Int64 = 0
        var isTooLarge = false
        for byte in self {
            guard byte &- 0x30 < 10 else { return nil }
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(Int64(byte &- 0x30))
            isTooLarge = isTooLarge || overflow || carry
            value = isTooLarge ? .max : sum
        }
        return value
    }
}
