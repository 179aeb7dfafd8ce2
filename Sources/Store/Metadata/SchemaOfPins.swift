// The seventh migration: what was pinned while the program ran.

enum SchemaOfPins {
    static let statements = [
        // `image`: a pattern in its full form. What the configuration pins is not here.
        """
        CREATE TABLE pin (
            image TEXT PRIMARY KEY NOT NULL) WITHOUT ROWID
        """
    ]
}
