// The eighth migration, for looking around: repositories in the order of the names that people read.

/// `fullName` is `docker.io/library/debian`, or the name alone of what was pushed here: a page of names begins anywhere
/// in its index, and what is searched for is looked for in it.
enum SchemaOfBrowsing {
    static let statements = [
        "ALTER TABLE repository ADD COLUMN fullName TEXT NOT NULL DEFAULT ''",
        "UPDATE repository SET fullName = CASE upstream WHEN '' THEN name ELSE upstream || '/' || name END",
        "CREATE INDEX repository_by_full_name ON repository (fullName)",
    ]
}
