// The tables, each with what it is for. Migrations are numbered and only ever appended to.

import GRDB

enum Schema {
    static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("1") { db in
            for statement in first { try db.execute(sql: statement) }
        }
        migrator.registerMigration("2") { db in
            for statement in second { try db.execute(sql: statement) }
        }
        migrator.registerMigration("3") { db in
            for statement in third { try db.execute(sql: statement) }
        }
        migrator.registerMigration("4") { db in
            for statement in SchemaOfNumbers.statements { try db.execute(sql: statement) }
        }
        migrator.registerMigration("5") { db in
            for statement in SchemaOfHosting.statements { try db.execute(sql: statement) }
        }
        migrator.registerMigration("6") { db in
            for statement in SchemaOfFigures.statements { try db.execute(sql: statement) }
        }
        migrator.registerMigration("7") { db in
            for statement in SchemaOfPins.statements { try db.execute(sql: statement) }
        }
        migrator.registerMigration("8") { db in
            for statement in SchemaOfBrowsing.statements { try db.execute(sql: statement) }
        }
        return migrator
    }

    /// Digests are BLOBs: an algorithm byte and the hash itself, half the size of text. Since the fourth they stand in
    /// a table of their own, and everything else has their numbers. Times are Unix milliseconds, sizes bytes.
    private static let first = [
        // A repository of an upstream, numbered so that links and tags are narrow.
        """
        CREATE TABLE repository (
            id INTEGER PRIMARY KEY,
            upstream TEXT NOT NULL,
            name TEXT NOT NULL,
            UNIQUE (upstream, name))
        """,
        // A committed file, manifest or not. `leasedUntil`: not evicted before; `pinned`: never. `broughtBy`: the
        // upstream whose credentials it took to have it, if it took any.
        """
        CREATE TABLE blob (
            digest BLOB PRIMARY KEY NOT NULL,
            size INTEGER NOT NULL,
            storedAt INTEGER NOT NULL,
            lastUsed INTEGER NOT NULL,
            broughtBy TEXT,
            leasedUntil INTEGER NOT NULL DEFAULT 0,
            pinned INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID
        """,
        "CREATE INDEX blob_by_use ON blob (lastUsed) WHERE pinned = 0",
        // What is known of a blob that is a manifest or an index.
        """
        CREATE TABLE manifest (
            digest BLOB PRIMARY KEY NOT NULL,
            mediaType TEXT NOT NULL,
            isIndex INTEGER NOT NULL) WITHOUT ROWID
        """,
        // What serving a manifest lets its repository's clients fetch: never foreign layers, subjects or anything
        // with urls.
        """
        CREATE TABLE child (
            parent BLOB NOT NULL,
            child BLOB NOT NULL,
            size INTEGER NOT NULL,
            PRIMARY KEY (parent, child)) WITHOUT ROWID
        """,
        "CREATE INDEX child_by_child ON child (child)",
        // The right to see a digest through a repository. `named`: a linked manifest named it; else the upstream
        // answered for it, and may have told its size.
        """
        CREATE TABLE link (
            digest BLOB NOT NULL,
            repository INTEGER NOT NULL,
            size INTEGER,
            named INTEGER NOT NULL,
            PRIMARY KEY (digest, repository)) WITHOUT ROWID
        """,
        // What a tag pointed to when the upstream was last asked.
        """
        CREATE TABLE tag (
            repository INTEGER NOT NULL,
            tag TEXT NOT NULL,
            digest BLOB NOT NULL,
            checkedAt INTEGER NOT NULL,
            PRIMARY KEY (repository, tag)) WITHOUT ROWID
        """,
        "CREATE INDEX tag_by_digest ON tag (digest)",
        // Figures that survive a restart.
        """
        CREATE TABLE total (
            name TEXT PRIMARY KEY NOT NULL,
            value INTEGER NOT NULL) WITHOUT ROWID
        """,
    ]
    private static let second = [
        // An unfinished blob's file in `ingest/`, and which of its bytes were on the disk when the row was written.
        """
        CREATE TABLE partial (
            digest BLOB PRIMARY KEY NOT NULL,
            file TEXT NOT NULL,
            size INTEGER NOT NULL,
            extents BLOB NOT NULL,
            keptAt INTEGER NOT NULL) WITHOUT ROWID
        """
    ]
    private static let third = [
        // A page of a list as an upstream wrote it. `id`: in the order of keeping; `subject`: empty for tags; `size`:
        // of all that comes from outside.
        """
        CREATE TABLE list (
            id INTEGER PRIMARY KEY,
            repository INTEGER NOT NULL,
            subject BLOB NOT NULL,
            query TEXT NOT NULL,
            size INTEGER NOT NULL,
            fetchedAt INTEGER NOT NULL,
            mediaType TEXT,
            link TEXT,
            bytes BLOB NOT NULL,
            UNIQUE (repository, subject, query))
        """,
        // So that their sum can be had without reading them.
        "CREATE INDEX list_by_size ON list (size)",
        // Which manifest names which subject. It gives nobody the right to see either.
        """
        CREATE TABLE referrer (
            digest BLOB PRIMARY KEY NOT NULL,
            subject BLOB NOT NULL) WITHOUT ROWID
        """,
        "CREATE INDEX referrer_by_subject ON referrer (subject)",
        // Whether a repository has anything, without a walk over all links.
        "CREATE INDEX link_by_repository ON link (repository)",
        // What other rooms want to remember over a restart.
        """
        CREATE TABLE memo (
            name TEXT PRIMARY KEY NOT NULL,
            value TEXT NOT NULL) WITHOUT ROWID
        """,
    ]
}
