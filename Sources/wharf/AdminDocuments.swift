// What the admin API answers, as the commands read it; and how questions are spelt in a target.

import FoundationEssentials

/// `GET /api/v1/images`.
struct ImagePage: Decodable {
    let images: [StoredImage]
    let next: String?

    struct StoredImage: Codable {
        let name, repository: String
        let tag: String?
        let digest: String
        let mediaType: String?
        let isIndex: Bool
        let size, storedSize: Int64
        let platforms: [String]
        let pinned, hosted: Bool
        let checkedAt, lastUsedAt: String?

        private enum CodingKeys: String, CodingKey, CaseIterable {
            case name, repository, tag, digest, mediaType, isIndex, size, storedSize, platforms, pinned, hosted,
                checkedAt, lastUsedAt
        }

        /// Every key is always there.
        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(name, forKey: .name)
            try container.encode(repository, forKey: .repository)
            try container.encode(tag, forKey: .tag)
            try container.encode(digest, forKey: .digest)
            try container.encode(mediaType, forKey: .mediaType)
            try container.encode(isIndex, forKey: .isIndex)
            try container.encode(size, forKey: .size)
            try container.encode(storedSize, forKey: .storedSize)
            try container.encode(platforms, forKey: .platforms)
            try container.encode(pinned, forKey: .pinned)
            try container.encode(hosted, forKey: .hosted)
            try container.encode(checkedAt, forKey: .checkedAt)
            try container.encode(lastUsedAt, forKey: .lastUsedAt)
        }
    }
}

/// `GET /api/v1/images/<image>`.
struct ImageDetail: Decodable {
    struct Content: Decodable {
        let digest: String
        let mediaType: String?
        let size: Int64
        let stored: Bool
        let storedBytes: Int64?
        let foreign: Bool?
    }

    struct Manifest: Decodable {
        let digest: String
        let mediaType, platform, artifactType: String?
        let stored: Bool
        let size, storedSize: Int64
        let lastUsedAt: String?
        let config: Content?
        let layers: [Content]
    }

    struct Referrer: Decodable {
        let digest: String
        let artifactType: String?
        let size: Int64
    }

    let name, digest: String
    let mediaType: String?
    let size, storedSize: Int64
    let pinned, hosted: Bool
    let storedAt, lastUsedAt, checkedAt, leasedUntilAt: String?
    let tags: [String]
    let manifests: [Manifest]
    let referrers: [Referrer]
}

enum AdminDocument {
    static func read<Document: Decodable>(_ type: Document.Type, _ text: String) throws -> Document {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        do {
            return try decoder.decode(type, from: Data(text.utf8))
        } catch {
            throw AdminFailure("the mirror's answer cannot be read: it may be of another version than this command")
        }
    }

    /// RFC 3986 §2.1, of all but what an image's name is made of.
    static func escaped(_ text: String) -> String {
        let plain = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/:@".utf8)
        let digits = Array("0123456789ABCDEF".utf8)
        var bytes: [UInt8] = []
        for byte in text.utf8 {
            if plain.contains(byte) {
                bytes.append(byte)
            } else {
                bytes += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// How long ago a time of the API was; `-` if there is none.
    ///
    /// - Parameter now: Unix time in milliseconds.
    static func ago(_ time: String?, now: Int64) -> String {
        guard let time else { return "-" }
        let style = Date.ISO8601FormatStyle(includingFractionalSeconds: true)
        guard let date = try? style.parse(time) else { return time }  // as it came is better than not at all
        let seconds = Double(now) / 1000 - date.timeIntervalSince1970
        guard seconds >= 1 else { return "now" }
        // The larger unit says enough.
        return FigureText.duration(seconds).split(separator: " ").prefix(2).joined(separator: " ") + " ago"
    }
}
