// What is stored, as tables for people; the documents are those that the admin API promises.

import Testing

@testable import wharf

@Suite("The tables of images") struct ImageTableTests {
    /// 2026-11-25T21:00:00Z in milliseconds.
    private static let now: Int64 = 1_795_640_400_000

    @Test func `images stand in columns`() throws {
        let page = try AdminDocument.read(
            ImagePage.self,
            """
            {"images":[{"name":"docker.io/library/debian:12","repository":"docker.io/library/debian","tag":"12",
            "digest":"sha256:0123456789abcdef0123","media_type":"x","is_index":true,"size":2000,"stored_size":1000,
            "platforms":["linux/amd64","linux/arm64"],"pinned":true,"hosted":false,"checked_at":null,
            "last_used_at":"2026-11-25T20:00:00.000Z"},{"name":"acme/a:1","repository":"acme/a","tag":"1",
            "digest":"sha256:ff","media_type":null,"is_index":false,"size":5,"stored_size":5,"platforms":[],
            "pinned":false,"hosted":true,"checked_at":null,"last_used_at":null}],"next":null}
            """)
        #expect(
            ImageTable.lines(page.images, now: Self.now) == [
                "IMAGE                        DIGEST        STORED              PLATFORMS                LAST USED",
                "docker.io/library/debian:12  0123456789ab  1.00 kB of 2.00 kB  linux/amd64,linux/arm64  1 h ago    pinned",
                "acme/a:1                     ff            5 B                 -                        -          hosted",
            ])
    }

    @Test func `an image shows its manifests and which of their layers are here`() throws {
        let detail = try AdminDocument.read(
            ImageDetail.self,
            """
            {"name":"docker.io/library/debian:12","repository":"docker.io/library/debian","tag":"12",
            "digest":"sha256:aa","media_type":"application/vnd.oci.image.index.v1+json","is_index":true,"size":3000,
            "stored_size":1500,"stored":true,"pinned":false,"hosted":false,"stored_at":null,
            "last_used_at":"2026-11-25T20:59:30.000Z","checked_at":null,"leased_until_at":null,"tags":["12","bookworm"],
            "manifests":[{"digest":"sha256:bb","media_type":"m","platform":"linux/amd64","artifact_type":null,
            "stored":true,"size":3000,"stored_size":1500,"last_used_at":null,
            "config":{"digest":"sha256:cc","media_type":"c","size":500,"stored":true},
            "layers":[{"digest":"sha256:dd","media_type":"l","size":1000,"stored":true,"stored_bytes":1000,
            "last_used_at":null,"foreign":false},{"digest":"sha256:ee","media_type":"l","size":1500,"stored":false,
            "stored_bytes":700,"last_used_at":null,"foreign":false},{"digest":"sha256:ff","media_type":"l","size":9,
            "stored":false,"stored_bytes":0,"last_used_at":null,"foreign":true}]},
            {"digest":"sha256:ab","media_type":"m","platform":"linux/arm64","artifact_type":null,"stored":false,
            "size":0,"stored_size":0,"last_used_at":null,"config":null,"layers":[]}],
            "referrers":[{"digest":"sha256:12","artifact_type":"signature\\u001b[2J","size":7}]}
            """)
        #expect(
            detail.lines(now: Self.now) == [
                "docker.io/library/debian:12",
                "  digest     sha256:aa",
                "  type       application/vnd.oci.image.index.v1+json",
                "  stored     1.50 kB of 3.00 kB",
                "  last used  30 s ago",
                "  checked    -",
                "  tags       12, bookworm",
                "",
                "linux/amd64  sha256:bb  1.50 kB of 3.00 kB",
                "  config  sha256:cc  500 B    here",
                "  layer   sha256:dd  1.00 kB  here",
                "  layer   sha256:ee  1.50 kB  700 B here",
                "  layer   sha256:ff  9 B      foreign",
                "",
                "linux/arm64  sha256:ab  not here",
                "",
                "referrers",
                "  sha256:12  signature?[2J  7 B",
            ])
    }
}
