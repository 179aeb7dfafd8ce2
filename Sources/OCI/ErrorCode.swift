// The codes in which a registry says what is wrong, and the body that carries them.

import FoundationEssentials

/// - Source: distribution-spec v1.1 "Error Codes" (the first 14); the rest are Docker's registry's.
package enum ErrorCode: String, Sendable, CaseIterable {
    case blobUnknown = "BLOB_UNKNOWN"
    case blobUploadInvalid = "BLOB_UPLOAD_INVALID"
    case blobUploadUnknown = "BLOB_UPLOAD_UNKNOWN"
    case digestInvalid = "DIGEST_INVALID"
    case manifestBlobUnknown = "MANIFEST_BLOB_UNKNOWN"
    case manifestInvalid = "MANIFEST_INVALID"
    case manifestUnknown = "MANIFEST_UNKNOWN"
    case nameInvalid = "NAME_INVALID"
    case nameUnknown = "NAME_UNKNOWN"
    case sizeInvalid = "SIZE_INVALID"
    case unauthorized = "UNAUTHORIZED"
    case denied = "DENIED"
    case unsupported = "UNSUPPORTED"
    case tooManyRequests = "TOOMANYREQUESTS"

    case tagInvalid = "TAG_INVALID"
    case rangeInvalid = "RANGE_INVALID"
    case paginationNumberInvalid = "PAGINATION_NUMBER_INVALID"
    case unavailable = "UNAVAILABLE"
    case unknown = "UNKNOWN"

    /// The status that goes with it where the endpoint's own section names no other.
    package var status: Int {
        switch self {
        case .blobUnknown, .blobUploadUnknown, .manifestUnknown, .manifestBlobUnknown, .nameUnknown: 404
        case .blobUploadInvalid, .digestInvalid, .manifestInvalid, .nameInvalid, .sizeInvalid, .tagInvalid: 400
        case .paginationNumberInvalid: 400
        case .unauthorized: 401
        case .denied: 403
        case .unsupported: 405
        case .rangeInvalid: 416
        case .tooManyRequests: 429
        case .unknown: 500
        case .unavailable: 503
        }
    }

    /// What to say where nothing better is known.
    package var message: String {
        switch self {
        case .blobUnknown: "blob unknown to registry"
        case .blobUploadInvalid: "blob upload invalid"
        case .blobUploadUnknown: "blob upload unknown to registry"
        case .digestInvalid: "provided digest did not match uploaded content, or is no digest"
        case .manifestBlobUnknown: "manifest references a manifest or blob unknown to registry"
        case .manifestInvalid: "manifest invalid"
        case .manifestUnknown: "manifest unknown to registry"
        case .nameInvalid: "invalid repository name"
        case .nameUnknown: "repository name not known to registry"
        case .sizeInvalid: "provided length did not match content length"
        case .unauthorized: "authentication required"
        case .denied: "requested access to the resource is denied"
        case .unsupported: "the operation is unsupported"
        case .tooManyRequests: "too many requests"
        case .tagInvalid: "tag invalid"
        case .rangeInvalid: "range not satisfiable"
        case .paginationNumberInvalid: "invalid number of results requested"
        case .unavailable: "service unavailable"
        case .unknown: "unknown error"
        }
    }
}

/// `{"errors":[{"code":"…","message":"…","detail":"…"}]}`, written for clients and read from upstreams.
package struct ErrorBody: Equatable, Sendable {
    /// As the registry wrote it; it need not be one of `ErrorCode`.
    package let code: String
    package let message: String

    /// The body for one error; the default message stands where none is given.
    package static func json(_ code: ErrorCode, _ message: String? = nil, detail: String? = nil) -> [UInt8] {
        var text = "{\"errors\":[{\"code\":\"\(code.rawValue)\",\"message\":"
        appendJSON(message ?? code.message, to: &text)
        if let detail {
            text += ",\"detail\":"
            appendJSON(detail, to: &text)
        }
        text += "}]}\n"
        return Array(text.utf8)
    }

    /// The first error of another registry's body; `nil` if the body has not that form.
    package init?(parsing bytes: [UInt8]) {
        struct Body: Decodable {
            struct Entry: Decodable {
                let code: String
                let message: String?
            }
            let errors: [Entry]
        }
        // What exactly is wrong with a stranger's error body matters to nobody: it then has no message.
        guard let first = (try? JSONDecoder().decode(Body.self, from: Data(bytes)))?.errors.first else { return nil }
        code = first.code
        message = first.message ?? ""
    }

    private static func appendJSON(_ text: String, to output: inout String) {
        output += "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": output += "\\\""
            case "\\": output += "\\\\"
            case "\n": output += "\\n"
            case "\u{00}"..."\u{1F}", "\u{7F}", "\u{2028}", "\u{2029}":
                let hex = String(scalar.value, radix: 16)
                output += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: output.unicodeScalars.append(scalar)
            }
        }
        output += "\""
    }
}
