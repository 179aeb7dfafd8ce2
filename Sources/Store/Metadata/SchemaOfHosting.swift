// The fifth migration: what was pushed here.

/// The rows say what `hosted/` says on the disk, so that it need not be read (`Hosted/HostedTree.swift`). A hosted
/// repository shows what it has itself, and nothing because something names it: so these are no links.
enum SchemaOfHosting {
    static let statements = [
        // What a repository has: as a blob, or as a manifest, with the media type it was pushed with; it may have one
        // digest as both. `touchedAt`: when it was last pushed, or lost a tag,
        // Unix milliseconds.
        """
        CREATE TABLE hosted (
            repository INTEGER NOT NULL,
            isManifest INTEGER NOT NULL,
            digest INTEGER NOT NULL,
            mediaType TEXT NOT NULL,
            touchedAt INTEGER NOT NULL,
            PRIMARY KEY (repository, isManifest, digest)) WITHOUT ROWID
        """,
        "CREATE INDEX hosted_by_digest ON hosted (digest)",
        """
        CREATE TABLE hostedTag (
            repository INTEGER NOT NULL,
            tag TEXT NOT NULL,
            digest INTEGER NOT NULL,
            PRIMARY KEY (repository, tag)) WITHOUT ROWID
        """,
        "CREATE INDEX hosted_tag_by_digest ON hostedTag (digest)",
        // What a manifest names that serving it shows nobody: layers that are to be had elsewhere. Where they were
        // pushed all the same they are not litter.
        """
        CREATE TABLE unlinkedChild (
            parent INTEGER NOT NULL,
            child INTEGER NOT NULL,
            PRIMARY KEY (parent, child)) WITHOUT ROWID
        """,
        // Whether any hosted repository has it: never evicted.
        "ALTER TABLE blob ADD COLUMN hosted INTEGER NOT NULL DEFAULT 0",
        "DROP INDEX blob_by_use",
        "CREATE INDEX blob_by_use ON blob (lastUsed) WHERE pinned = 0 AND hosted = 0",
        "CREATE INDEX blob_hosted ON blob (size) WHERE hosted = 1",
    ]
}
