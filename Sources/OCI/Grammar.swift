// The classes of bytes that the grammars of names, tags and digests are made of.

extension UInt8 {
    @inline(__always) init(ascii scalar: Unicode.Scalar) { self = UInt8(truncatingIfNeeded: scalar.value) }

    var isDigit: Bool { self &- 0x30 < 10 }
    var isLowercase: Bool { self &- 0x61 < 26 }
    var isUppercase: Bool { self &- 0x41 < 26 }
    var isLowercaseAlphanumeric: Bool { isLowercase || isDigit }
    var isAlphanumeric: Bool { isLowercase || isUppercase || isDigit }

    /// The value of a lowercase hexadecimal digit; digests know no other.
    var lowercaseHexValue: UInt8? {
        if isDigit { return self &- 0x30 }
        return self &- 0x61 < 6 ? self &- 0x57 : nil
    }

    /// The value of a hexadecimal digit of either case, as in a percent-escape (RFC 3986 §2.1).
    var hexValue: UInt8? { (isUppercase ? self | 0x20 : self).lowercaseHexValue }
}

extension StringProtocol {
    /// The UTF-8 bytes in place; only a string that is not contiguous is copied first.
    func withBytes<Result>(_ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
        if let result = utf8.withContiguousStorageIfAvailable(body) { return result }
        var copy = String(self)
        return copy.withUTF8(body)
    }
}
