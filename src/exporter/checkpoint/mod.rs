//! The checkpoint: positions and values in one file, so that a later process goes on where this one was.
//!
//! Both are of the same moment, and the file is replaced in one step, so a crash at any instruction leaves the old
//! state or the new one. From either, replaying the rest of the journal gives the same result. The previous
//! checkpoint is kept. A file that cannot be used is set aside for inspection and never stops the exporter.
//!
//! ```text
//! "etchackp"  version: u32  length: u64  crc32: u32  payload: postcard
//! ```
//!
//! Numbers are little-endian; `length` and `crc32` are of the payload. The payload ends with what happened lately. This
//! part is optional: older checkpoints lack it, and older exporters ignore it. This file knows no follower and no
//! thread: it is handed a state and a [`Store`].
//!
//! # Layout
//!
//! * `store`: the state directory, its lock and its files.
//! * `writer`: the thread that writes checkpoints.

pub(crate) mod store;
mod v1;
mod v2;
pub(crate) mod writer;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::follow::FollowRecord;
use crate::metrics::{Recent, Record};

/// Name of the current checkpoint in the state directory.
pub const CURRENT: &str = "checkpoint";
/// Name of the one before it.
pub const PREVIOUS: &str = "checkpoint.previous";
/// Name under which a checkpoint that cannot be used is kept.
pub const DAMAGED: &str = "checkpoint.damaged";
/// Name under which one is written, before it becomes the current one.
pub const NEW: &str = "checkpoint.new";

const MAGIC: &[u8; 8] = b"etchackp";
const VERSION: u32 = 3;
const HEADER_BYTES: usize = 8 + 4 + 8 + 4;

/// What follows a checkpoint that ends with what was counted.
const NOTHING: &[u8] = &[];

/// Largest checkpoint that is read, in bytes: several million series. A larger file is not one of ours.
pub(crate) const MAX_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// A state, as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The journal that it speaks of. Positions in another one mean nothing.
    #[serde(with = "path")]
    pub journal: PathBuf,
    /// When it was taken, in milliseconds since 1970, by this host's clock.
    pub taken: i64,
    /// What was counted.
    pub metrics: Record,
    /// How far the journal was read.
    pub follow: FollowRecord,
}

/// Why a file is no checkpoint to go on from.
#[derive(Debug)]
pub enum Unusable {
    /// Shorter or longer than it says, or another checksum.
    Damaged(&'static str),
    /// Written by a later version.
    Version(u32),
    /// Its payload is not what this version writes.
    Shape(postcard::Error),
    /// It speaks of another journal.
    Journal(PathBuf),
    /// Its parts do not fit each other.
    Unsound,
}

impl fmt::Display for Unusable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unusable::Damaged(what) => write!(out, "damaged: {what}"),
            Unusable::Version(version) => {
                write!(out, "written by a later version (format {version}, this one reads {VERSION})")
            }
            Unusable::Shape(error) => write!(out, "of another shape: {error}"),
            Unusable::Journal(journal) => write!(out, "of another journal, {}", journal.display()),
            Unusable::Unsound => write!(out, "its parts do not fit each other"),
        }
    }
}

/// The file operations that a checkpoint is made of, all in one directory. A boundary for tests, which fail each of
/// them in turn.
pub trait Store {
    /// Creates or replaces a file and makes its content durable.
    fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Renames a file over whatever has the new name.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;
    /// Makes names durable.
    fn sync(&mut self) -> io::Result<()>;
    /// The content of a file of at most `MAX_BYTES`; `None` if there is none.
    fn read(&mut self, name: &str) -> io::Result<Option<Vec<u8>>>;
}

impl Checkpoint {
    /// The checkpoint as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64 * 1024);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.resize(HEADER_BYTES, 0);
        let encoded = postcard::to_extend(self, bytes)
            .and_then(|bytes| postcard::to_extend(self.metrics.recent.as_ref(), bytes));
        let mut bytes = match encoded {
            Ok(bytes) => bytes,
            // Lists know their lengths and memory takes every byte: there is nothing left to fail.
            Err(error) => unreachable!("a checkpoint that cannot be encoded: {error}"),
        };
        let payload = &bytes[HEADER_BYTES..];
        let (length, crc) = (payload.len() as u64, crc32fast::hash(payload));
        bytes[12..20].copy_from_slice(&length.to_le_bytes());
        bytes[20..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The checkpoint that these bytes are.
    ///
    /// # Errors
    ///
    /// Says why they are none; arbitrary bytes do no other harm.
    pub fn decode(bytes: &[u8]) -> Result<Checkpoint, Unusable> {
        let header = bytes.get(..HEADER_BYTES).ok_or(Unusable::Damaged("shorter than its header"))?;
        if !header.starts_with(MAGIC) {
            return Err(Unusable::Damaged("it does not begin as a checkpoint does"));
        }
        let number = |from: usize, to: usize| little_endian(&header[from..to]);
        let version = u32::try_from(number(8, 12)).unwrap_or(u32::MAX);
        if ![VERSION, v2::VERSION, v1::VERSION].contains(&version) {
            return Err(Unusable::Version(version));
        }
        let payload = &bytes[HEADER_BYTES..];
        if payload.len() as u64 != number(12, 20) {
            return Err(Unusable::Damaged("not as long as it says"));
        }
        if u64::from(crc32fast::hash(payload)) != number(20, HEADER_BYTES) {
            return Err(Unusable::Damaged("its checksum differs"));
        }
        let decoded = match version {
            v1::VERSION => v1::decode(payload).map(|checkpoint| (checkpoint, NOTHING)),
            v2::VERSION => v2::decode(payload).map(|checkpoint| (checkpoint, NOTHING)),
            _ => postcard::take_from_bytes::<Checkpoint>(payload),
        };
        let (mut checkpoint, rest) = decoded.map_err(Unusable::Shape)?;
        // It is for people, and never a reason to count anything anew.
        let recent = postcard::from_bytes(rest).unwrap_or_else(|_| Recent::since(checkpoint.taken));
        checkpoint.metrics.recent = Arc::new(recent);
        Ok(checkpoint)
    }
}

/// How long the file is that begins with these bytes, as they say; `None` if they are no whole header.
fn length_of(header: &[u8]) -> Option<u64> {
    little_endian(header.get(12..20)?).checked_add(HEADER_BYTES as u64)
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Makes `bytes` the current checkpoint; the one that was current becomes the previous one.
///
/// A crash after the first rename leaves no current one: the new one, complete by then, is taken.
///
/// # Errors
///
/// If the file system refuses. What was current or previous before can still be loaded.
pub fn save(store: &mut impl Store, bytes: &[u8]) -> io::Result<()> {
    store.write(NEW, bytes)?;
    match store.rename(CURRENT, PREVIOUS) {
        Ok(()) => {}
        // The first one has no predecessor.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    store.rename(NEW, CURRENT)?;
    store.sync()
}

/// Where a state came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The current checkpoint, or the one that was about to become it.
    Current,
    /// The one before it, because the current one was missing or could not be used.
    Previous,
}

/// The newest state that `accept` takes: current, new, previous. What cannot be used is logged; the newest of it is set aside,
/// and what is older stays until it is replaced.
///
/// A new one is only left behind by a crash or an error, and each later one would have replaced it: if it is
/// complete it is newer than the previous one.
pub fn load<T>(
    store: &mut impl Store,
    mut accept: impl FnMut(Checkpoint) -> Result<T, Unusable>,
) -> Option<(T, Origin)> {
    let mut is_kept = false;
    for (name, origin) in [(CURRENT, Origin::Current), (NEW, Origin::Current), (PREVIOUS, Origin::Previous)] {
        let bytes = match store.read(name) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => continue,
            Err(error) => {
                tracing::error!(name, %error, "cannot read the checkpoint; going on without it");
                continue;
            }
        };
        match Checkpoint::decode(&bytes).and_then(&mut accept) {
            Ok(accepted) => {
                if name == NEW {
                    // Before the next one is written over it.
                    if let Err(error) = store.rename(NEW, CURRENT).and_then(|()| store.sync()) {
                        tracing::error!(name, %error, "cannot make the checkpoint the current one");
                    }
                }
                return Some((accepted, origin));
            }
            Err(reason) if is_kept => tracing::error!(name, %reason, "the checkpoint cannot be used"),
            Err(reason) => {
                is_kept = true;
                tracing::error!(name, %reason, kept_as = DAMAGED, "the checkpoint cannot be used and is set aside");
                if let Err(error) = store.rename(name, DAMAGED) {
                    tracing::error!(name, %error, "cannot set it aside; it will be replaced");
                }
            }
        }
    }
    None
}

/// A path as its bytes: it need not be UTF-8.
mod path {
    use std::ffi::{OsStr, OsString};
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize as _, Serializer};

    #[expect(clippy::ptr_arg, reason = "the signature serde calls")]
    pub(super) fn serialize<S: Serializer>(path: &PathBuf, output: S) -> Result<S::Ok, S::Error> {
        let bytes: &OsStr = Path::as_os_str(path);
        bytes.as_bytes().serialize(output)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<PathBuf, D::Error> {
        Ok(OsString::from_vec(Vec::deserialize(input)?).into())
    }
}
