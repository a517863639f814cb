//! The contract's limits. Each is part of version 1: a writer keeps below it, a reader may refuse what is above it.

/// Longest line in bytes, its LF included. So a reader needs no more than one buffer of this size, and a
/// writer can append any line to a local file in one `write(2)`.
pub const MAX_LINE_BYTES: usize = 65_536;

/// Longest name of a writer, in bytes.
pub const MAX_WRITER_BYTES: usize = 64;

/// Largest count (`seq`, `changed`, `removed`): the largest integer that a Prometheus sample, a 64-bit float,
/// still tells from its neighbours.
pub const MAX_COUNT: u64 = 1 << 53;

/// Size in bytes at which a writer rotates the active file, unless told otherwise.
pub const DEFAULT_MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Rotated segments that a writer keeps beside the active file, unless told otherwise.
pub const DEFAULT_KEEP: usize = 8;
