//! The appending side: one event, one line, one `write(2)`.
//!
//! A [`Writer`] never waits for another process, never retries behind the caller's back and never loses a line in
//! silence: a line that was not written leaves its number unused, so every reader sees the gap. It knows nothing of
//! what an event means. Which file is written to is `active`'s part, when and how it is set aside `rotation`'s, and
//! when it reaches the disk `sync`'s.

mod active;
mod error;
mod lock;
mod numbers;
mod rotation;
mod search;
mod sync;

use std::ffi::CString;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::event::{Envelope, Event};
use crate::limits::{DEFAULT_KEEP, DEFAULT_MAX_BYTES};
use crate::line::encode;

use active::Active;
pub use error::WriteError;
use numbers::{Numbers, Turn};
use rotation::Rotated;
use sync::Syncer;
pub use sync::{NoSync, Sync};

/// How long another process may hold the lock for a rotation that is long due. A rotation takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(1);

/// How a [`Writer`] works. The default is the contract's.
#[derive(Clone, Debug)]
pub struct Options {
    /// Size in bytes that the active file does not pass: it is set aside before the line that would. 0 leaves
    /// rotation to somebody else, such as logrotate.
    pub max_bytes: u64,
    /// How many rotated segments stay beside the active file, at least 1: a reader may still be busy with the newest.
    pub keep: usize,
    /// When lines are made to survive a loss of power.
    pub sync: Sync,
    /// Where the time of a line and of a segment's name comes from.
    pub clock: fn() -> Timestamp,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            max_bytes: DEFAULT_MAX_BYTES,
            keep: DEFAULT_KEEP,
            sync: Sync::default(),
            clock: Timestamp::now,
        }
    }
}

/// Appends events to a journal. Several of them, in one process or in many, may append to one journal at once.
///
/// ```
/// use journal_schema::{Event, Options, Source, Trigger, Writer};
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("journal.jsonl");
/// let mut writer = Writer::open(&path, Options::default())?;
/// writer.append(&Event::Source(Source {
///     name: "web".into(),
///     trigger: Trigger::Push,
///     error: false,
///     outcome: None,
///     public_key: "".into(),
///     remote_addr: "192.0.2.7".into(),
///     token_id: "".into(),
///     subject: "".into(),
///     digest: "".into(),
///     changed: Some(1),
///     removed: Some(0),
///     duration_seconds: None,
/// }))?;
/// writer.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Writer {
    /// The journal's path, absolute, so that a change of directory changes nothing. A link is followed at each look.
    path: PathBuf,
    /// The same, as system calls want it: it is looked up before each line.
    c_path: CString,
    options: Options,
    /// Name and numbers: of this writer alone, or shared.
    numbers: Numbers,
    /// The line being written, behind one LF that is sent along only when needed. Reused, so a line costs no memory.
    buffer: Vec<u8>,
    active: Arc<Active>,
    /// The active file may end in a torn line: LF first.
    unended: bool,
    /// `options.max_bytes`, or more for a while after a rotation that failed.
    rotate_at: u64,
    syncer: Syncer,
    /// When the lock for a rotation that is due was first refused.
    refused: Option<Timestamp>,
    /// Trouble beside the lines, kept for [`Writer::take_warning`].
    warning: Option<WriteError>,
}

impl Writer {
    /// Opens the journal at `path` for appending and makes it, with mode 0640, if it does not exist. A link is
    /// followed: segments then lie beside the file that it leads to.
    ///
    /// # Errors
    ///
    /// The directory does not exist, the path leads to something that is no regular file, the file cannot be opened
    /// for reading and writing, or the system gave no randomness or no thread.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Writer, WriteError> {
        Writer::open_with(path.as_ref(), options, Numbers::own().map_err(WriteError::Random)?)
    }

    /// The same for one of many processes that append a few lines each, such as a script that is run again and again.
    /// They are one writer: each continues where the one before ended, so that a line that is lost shows as a gap, and
    /// readers have one writer to remember and not thousands.
    ///
    /// Name and last number are kept beside the journal, in `.journal.jsonl.append`. If that cannot be had, this is a
    /// writer by itself and [`Writer::take_warning`] says why.
    ///
    /// # Errors
    ///
    /// As [`Writer::open`].
    pub fn open_continued(path: impl AsRef<Path>, options: Options) -> Result<Writer, WriteError> {
        let mut writer = Writer::open(path, options)?;
        match Numbers::shared(&writer.path, &writer.active) {
            Ok(numbers) => writer.numbers = numbers,
            Err(source) => writer.warning = Some(WriteError::Numbers { path: writer.path.clone(), source }),
        }
        Ok(writer)
    }

    fn open_with(given: &Path, options: Options, numbers: Numbers) -> Result<Writer, WriteError> {
        let open_error = |source| WriteError::Open { path: given.to_owned(), source };
        let path = std::path::absolute(given).map_err(open_error)?;
        let c_path = CString::new(path.as_os_str().as_bytes())
            .map_err(|_| open_error(io::Error::new(io::ErrorKind::InvalidInput, "a path holds no NUL")))?;
        let (active, created) = Active::open(&path, None)?;
        let syncer = Syncer::start(options.sync).map_err(WriteError::Thread)?;
        let mut writer = Writer {
            path,
            c_path,
            numbers,
            buffer: Vec::with_capacity(1024),
            active: Arc::new(active),
            unended: true,
            rotate_at: options.max_bytes,
            refused: None,
            options,
            syncer,
            warning: None,
        };
        if created {
            writer.sync_directory();
        }
        Ok(writer)
    }

    /// The name under which this writer's lines stand.
    pub fn name(&self) -> &str {
        self.numbers.name()
    }

    /// The path of the journal, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends one line and says its number. The number is used up even when the line could not be written, so that
    /// readers see that something is missing. Every call tries anew; once there is space again, writing goes on.
    ///
    /// # Errors
    ///
    /// The line is too long, the journal cannot be opened (again), the write failed or was cut short. With
    /// [`WriteError::Sync`] alone the line is in the file, but may not survive a loss of power.
    pub fn append(&mut self, event: &Event<'_>) -> Result<u64, WriteError> {
        self.append_at(event, (self.options.clock)())
    }

    /// The same for what happened at another time and is recorded late.
    ///
    /// # Errors
    ///
    /// As [`Writer::append`].
    pub fn append_at(&mut self, event: &Event<'_>, time: Timestamp) -> Result<u64, WriteError> {
        // Held until the line is written: then the numbers of a shared writer are in order.
        let turn = self.turn()?;
        let seq = turn.seq;
        let envelope = Envelope { writer: self.numbers.name().into(), seq, time };
        self.buffer.clear();
        self.buffer.push(b'\n');
        encode(&envelope, event, &mut self.buffer)
            .map_err(|too_long| WriteError::TooLong { seq, too_long })?;
        self.make_room()?;
        self.write(seq)?;
        drop(turn);
        let at_once = matches!(event, Event::Shell(_) | Event::Engine(_));
        self.syncer.written(&self.active, at_once).map_err(|source| self.sync_error(source))?;
        Ok(seq)
    }

    /// What went wrong beside the lines since the last call, if anything did: a sync in the background or a
    /// rotation. Both are tried again by themselves.
    pub fn take_warning(&mut self) -> Option<WriteError> {
        let background = self.syncer.take_error().map(|source| self.sync_error(source));
        self.warning.take().or(background)
    }

    /// Ends writing: what was written is synced, unless the setting is [`Sync::Never`]. Dropping a writer does the
    /// same and swallows the error.
    ///
    /// # Errors
    ///
    /// The last sync, or one before it that nobody asked about, failed.
    pub fn close(mut self) -> Result<(), WriteError> {
        match self.syncer.stop() {
            Ok(()) => Ok(()),
            Err(source) => Err(self.sync_error(source)),
        }
    }

    /// The next number. A line is worth more than its place among shared numbers: if they cannot be had any more, this
    /// goes on as a writer by itself.
    fn turn(&mut self) -> Result<Turn, WriteError> {
        loop {
            match self.numbers.next(&self.path, &self.active) {
                Ok(turn) => return Ok(turn),
                Err(source) => {
                    self.warning = Some(WriteError::Numbers { path: self.path.clone(), source });
                    self.numbers = Numbers::own().map_err(WriteError::Random)?;
                }
            }
        }
    }

    /// Makes sure that the line in the buffer goes into the file that lies under the path, and that it fits.
    ///
    /// One look-up by name answers both questions, because a look tells the size as well, whoever wrote last.
    fn make_room(&mut self) -> Result<(), WriteError> {
        match active::look(&self.c_path) {
            Ok(look) if look.identity == self.active.identity => {
                let grown = look.size + self.buffer.len() as u64;
                if self.options.max_bytes > 0 && look.size > 0 && grown > self.rotate_at {
                    self.rotate(grown)?;
                }
            }
            // Renamed, removed, replaced, or not to be looked at: opening says which, and heals what can be healed.
            Ok(_) | Err(_) => self.reopen()?,
        }
        if self.unended {
            // Another writer may have ended the torn line meanwhile.
            let ended = self.active.ends_with_lf();
            self.unended = !ended.map_err(|source| WriteError::Open { path: self.path.clone(), source })?;
        }
        Ok(())
    }

    fn write(&mut self, seq: u64) -> Result<(), WriteError> {
        let line = &self.buffer[usize::from(!self.unended)..];
        let written = loop {
            match (&self.active.file).write(line) {
                // A signal came before the first byte: nothing was written.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        match written {
            Ok(written) if written == line.len() => {
                self.unended = false;
                Ok(())
            }
            Ok(written) => {
                self.unended = true;
                Err(WriteError::Short { seq, path: self.path.clone(), written, bytes: line.len() })
            }
            Err(source) => Err(WriteError::Write { seq, path: self.path.clone(), source }),
        }
    }

    /// Rotates a file that would have `grown` bytes with the next line. Trouble is no reason to lose that line: it
    /// goes into the file that is too large, and rotation is tried again after a sixteenth of the size.
    fn rotate(&mut self, grown: u64) -> Result<(), WriteError> {
        let (keep, now) = (self.options.keep, (self.options.clock)());
        // Twice the size, and for a while: whoever holds the lock does not rotate.
        let refused = *self.refused.get_or_insert(now);
        let insist = grown > self.options.max_bytes.saturating_mul(2)
            && now.duration_since(refused).unsigned_abs() >= PATIENCE;
        match rotation::rotate(&self.path, &self.active, keep, now, insist) {
            Ok(Rotated::Done { trouble }) => {
                if let Some(source) = trouble {
                    self.warning = Some(WriteError::Rotate { path: self.path.clone(), source });
                }
                self.reopen()
            }
            Ok(Rotated::ByAnother) => self.reopen(),
            // Another writer is at it this moment.
            Ok(Rotated::Busy) => Ok(()),
            Err(source) => {
                self.warning = Some(WriteError::Rotate { path: self.path.clone(), source });
                self.rotate_at = grown + self.options.max_bytes / 16;
                Ok(())
            }
        }
    }

    fn reopen(&mut self) -> Result<(), WriteError> {
        let (active, created) = Active::open(&self.path, Some(self.active.group))?;
        self.active = Arc::new(active);
        self.unended = true;
        self.rotate_at = self.options.max_bytes;
        self.refused = None;
        if created {
            self.sync_directory();
        }
        Ok(())
    }

    /// A new file survives a loss of power only with its name.
    fn sync_directory(&mut self) {
        if let Err(source) = self.syncer.directory(&self.path) {
            self.warning = Some(self.sync_error(source));
        }
    }

    fn sync_error(&self, source: io::Error) -> WriteError {
        WriteError::Sync { path: self.path.clone(), source }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // There is nobody to tell; who wants to know calls `close`.
        let _ = self.syncer.stop();
    }
}

#[cfg(test)]
mod tests;
