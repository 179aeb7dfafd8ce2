// What the random tests of this room tell when a law is broken.

/// What a random test saw go wrong, and in which run of which seed.
struct Broken: Error, CustomStringConvertible {
    let description: String
}
