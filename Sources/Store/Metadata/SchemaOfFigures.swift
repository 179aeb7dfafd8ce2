// The sixth migration: what is stored, counted as it changes; what was counted over time; who was asked for most.

/// Counting a million rows takes a good part of a second, and figures are asked for each second. So the counts are kept
/// by triggers, in the transaction of whatever changes them: they cannot be wrong, and cost one row on one page. Blobs
/// alone are counted by who deletes them, many at a time (`MetadataDatabase.deleteGoing`): a trigger for each would be
/// a fifth of an eviction.
///
/// Whoever writes with `INSERT OR REPLACE` into a table that is counted goes past `AFTER DELETE`: use `ON CONFLICT`.
enum SchemaOfFigures {
    static let statements = [counts, filled] + triggers + rest

    /// One row. `files`: of blobs and manifests together; a row about a manifest counts while its content is there.
    private static let counts = """
        CREATE TABLE stored (
            id INTEGER PRIMARY KEY CHECK (id = 1),
            files INTEGER NOT NULL,
            manifests INTEGER NOT NULL,
            tags INTEGER NOT NULL,
            pinnedBytes INTEGER NOT NULL,
            hostedBytes INTEGER NOT NULL)
        """

    private static let filled = """
        INSERT INTO stored SELECT 1, (SELECT count(*) FROM blob),
            (SELECT count(*) FROM manifest WHERE EXISTS (SELECT 1 FROM blob WHERE blob.digest = manifest.digest)),
            (SELECT count(*) FROM tag) + (SELECT count(*) FROM hostedTag),
            (SELECT ifnull(sum(size), 0) FROM blob WHERE pinned = 1),
            (SELECT ifnull(sum(size), 0) FROM blob WHERE hosted = 1)
        """

    private static let triggers = [
        """
        CREATE TRIGGER blob_comes AFTER INSERT ON blob BEGIN
            UPDATE stored SET files = files + 1,
                manifests = manifests + EXISTS (SELECT 1 FROM manifest WHERE digest = NEW.digest),
                pinnedBytes = pinnedBytes + NEW.pinned * NEW.size,
                hostedBytes = hostedBytes + NEW.hosted * NEW.size;
        END
        """,
        """
        CREATE TRIGGER blob_changes AFTER UPDATE OF size, pinned, hosted ON blob
        WHEN NEW.size <> OLD.size OR NEW.pinned <> OLD.pinned OR NEW.hosted <> OLD.hosted BEGIN
            UPDATE stored SET
                pinnedBytes = pinnedBytes + NEW.pinned * NEW.size - OLD.pinned * OLD.size,
                hostedBytes = hostedBytes + NEW.hosted * NEW.size - OLD.hosted * OLD.size;
        END
        """,
        """
        CREATE TRIGGER manifest_comes AFTER INSERT ON manifest BEGIN
            UPDATE stored SET manifests = manifests + 1
            WHERE EXISTS (SELECT 1 FROM blob WHERE digest = NEW.digest);
        END
        """,
        """
        CREATE TRIGGER manifest_goes AFTER DELETE ON manifest BEGIN
            UPDATE stored SET manifests = manifests - 1
            WHERE EXISTS (SELECT 1 FROM blob WHERE digest = OLD.digest);
        END
        """,
        "CREATE TRIGGER tag_comes AFTER INSERT ON tag BEGIN UPDATE stored SET tags = tags + 1; END",
        "CREATE TRIGGER tag_goes AFTER DELETE ON tag BEGIN UPDATE stored SET tags = tags - 1; END",
        "CREATE TRIGGER hosted_tag_comes AFTER INSERT ON hostedTag BEGIN UPDATE stored SET tags = tags + 1; END",
        "CREATE TRIGGER hosted_tag_goes AFTER DELETE ON hostedTag BEGIN UPDATE stored SET tags = tags - 1; END",
    ]

    private static let rest = [
        // What was counted within a step of so many seconds that began `at` Unix seconds; the row whose name is empty
        // says that the program ran then.
        """
        CREATE TABLE history (
            step INTEGER NOT NULL,
            at INTEGER NOT NULL,
            name TEXT NOT NULL,
            value INTEGER NOT NULL,
            PRIMARY KEY (step, at, name)) WITHOUT ROWID
        """,
        // How much was asked of a repository, over restarts; of those that were asked most.
        """
        CREATE TABLE used (
            repository TEXT PRIMARY KEY NOT NULL,
            requests INTEGER NOT NULL,
            bytes INTEGER NOT NULL) WITHOUT ROWID
        """,
        // Since this they are kept by kind and upstream, of which the earlier ones say nothing.
        "UPDATE total SET name = name || '.unknown.' WHERE name LIKE 'requests.%'",
        "UPDATE total SET name = name || '.' WHERE name IN ('bytes.to_clients', 'bytes.as_they_came')",
    ]
}
