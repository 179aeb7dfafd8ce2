// The fourth migration: a digest gets a number, and all tables have the number in its place.

/// A digest is a random key: the rows of one image lie on as many pages as there are rows, and an eviction rewrites a
/// page of every table and index for each. Numbers are given in the order in which digests are heard of, so what
/// belongs to one image lies together and goes together: a tenth of the pages, and half the bytes.
///
/// Only `digest_by_bytes` is in the order of the digests. An eviction leaves it alone; what no row needs any more goes
/// with the next sweep (`MetadataDatabase.sweep`).
enum SchemaOfNumbers {
    static let statements = names + aside + tables + filling + indices

    /// Whoever has been stored, in the order of storing; then those that are only spoken of.
    private static let names = [
        "CREATE TABLE digest (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL)",
        "INSERT INTO digest (bytes) SELECT digest FROM blob ORDER BY storedAt, digest",
        """
        INSERT INTO digest (bytes)
        SELECT digest FROM manifest UNION SELECT parent FROM child UNION SELECT child FROM child
        UNION SELECT digest FROM link UNION SELECT digest FROM tag UNION SELECT digest FROM referrer
        EXCEPT SELECT digest FROM blob
        """,
        "CREATE UNIQUE INDEX digest_by_bytes ON digest (bytes)",
    ]

    private static let moved = ["blob", "manifest", "child", "link", "tag", "referrer"]

    private static let aside =
        [
            "blob_by_use", "child_by_child", "link_by_repository", "tag_by_digest", "referrer_by_subject",
        ].map { "DROP INDEX \($0)" } + moved.map { "ALTER TABLE \($0) RENAME TO \($0)3" }

    /// As they were, but for the key.
    private static let tables = [
        """
        CREATE TABLE blob (
            digest INTEGER PRIMARY KEY,
            size INTEGER NOT NULL,
            storedAt INTEGER NOT NULL,
            lastUsed INTEGER NOT NULL,
            broughtBy TEXT,
            leasedUntil INTEGER NOT NULL DEFAULT 0,
            pinned INTEGER NOT NULL DEFAULT 0)
        """,
        """
        CREATE TABLE manifest (
            digest INTEGER PRIMARY KEY,
            mediaType TEXT NOT NULL,
            isIndex INTEGER NOT NULL)
        """,
        """
        CREATE TABLE child (
            parent INTEGER NOT NULL,
            child INTEGER NOT NULL,
            size INTEGER NOT NULL,
            PRIMARY KEY (parent, child)) WITHOUT ROWID
        """,
        """
        CREATE TABLE link (
            digest INTEGER NOT NULL,
            repository INTEGER NOT NULL,
            size INTEGER,
            named INTEGER NOT NULL,
            PRIMARY KEY (digest, repository)) WITHOUT ROWID
        """,
        """
        CREATE TABLE tag (
            repository INTEGER NOT NULL,
            tag TEXT NOT NULL,
            digest INTEGER NOT NULL,
            checkedAt INTEGER NOT NULL,
            PRIMARY KEY (repository, tag)) WITHOUT ROWID
        """,
        // The subject need not be anything of which there is a row.
        """
        CREATE TABLE referrer (
            digest INTEGER PRIMARY KEY,
            subject BLOB NOT NULL)
        """,
    ]

    private static func number(of column: String) -> String { "(SELECT id FROM digest WHERE bytes = \(column))" }

    private static let filling =
        [
            """
            INSERT INTO blob SELECT \(number(of: "digest")), size, storedAt, lastUsed, broughtBy, leasedUntil, pinned
            FROM blob3 ORDER BY storedAt, digest
            """,
            "INSERT INTO manifest SELECT \(number(of: "digest")), mediaType, isIndex FROM manifest3",
            "INSERT INTO child SELECT \(number(of: "parent")), \(number(of: "child")), size FROM child3",
            "INSERT INTO link SELECT \(number(of: "digest")), repository, size, named FROM link3",
            "INSERT INTO tag SELECT repository, tag, \(number(of: "digest")), checkedAt FROM tag3",
            "INSERT INTO referrer SELECT \(number(of: "digest")), subject FROM referrer3",
        ] + moved.map { "DROP TABLE \($0)3" }

    private static let indices = [
        "CREATE INDEX blob_by_use ON blob (lastUsed) WHERE pinned = 0",
        // So that what is pinned can be told without a walk over what is not.
        "CREATE INDEX blob_pinned ON blob (size) WHERE pinned = 1",
        "CREATE INDEX child_by_child ON child (child)",
        "CREATE INDEX link_by_repository ON link (repository)",
        "CREATE INDEX tag_by_digest ON tag (digest)",
        "CREATE INDEX referrer_by_subject ON referrer (subject)",
    ]
}
