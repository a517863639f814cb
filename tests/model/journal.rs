//! A journal on a real file system, and everything that may happen to it: writers that append, tear and linger,
//! rotations, copies, truncations, restores, junk. Knows no exporter.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use flate2::{Compression as Level, write::GzEncoder};
use jiff::Timestamp;
use journal_schema::{compressed::Compression, limits::MAX_LINE_BYTES};

use super::action::{Action, Naming};
use crate::harness::exposition::Series;

/// What a line does to the counters, by its own words.
#[derive(Clone, Debug)]
pub(crate) struct Meaning {
    pub(crate) writer: String,
    pub(crate) seq: u64,
    /// Counters and what they grow by.
    pub(crate) counts: Vec<(Series, f64)>,
}

pub(crate) const WRITERS: usize = 3;

/// Names that logrotate counts up to.
const NUMBERS: usize = 9;

/// The journal, its writers, and what is kept elsewhere.
#[derive(Debug)]
pub(crate) struct Journal {
    root: tempfile::TempDir,
    writers: [Writer; WRITERS],
    /// Every whole line that was ever written, without its LF, and what it means.
    pub(crate) lines: HashMap<Vec<u8>, Meaning>,
    last: Vec<u8>,
    backup: Option<Vec<u8>>,
    /// Milliseconds since 1970.
    clock: i64,
    /// For names that must differ.
    count: u64,
    session: u64,
    /// The writer that keeps an offset of its own, if there is one.
    alone: Option<usize>,
}

#[derive(Debug, Default)]
struct Writer {
    name: String,
    seq: u64,
    file: Option<File>,
}

impl Journal {
    pub(crate) fn new() -> Journal {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("log")).unwrap();
        let mut journal = Journal {
            root,
            writers: Default::default(),
            lines: HashMap::new(),
            last: Vec::new(),
            backup: None,
            clock: 1_700_000_000_000,
            count: 0,
            session: 0,
            alone: None,
        };
        (0..WRITERS).for_each(|writer| journal.replace(writer));
        journal
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory().join("journal.jsonl")
    }

    fn directory(&self) -> PathBuf {
        self.root.path().join("log")
    }

    /// Does what concerns the journal; the follower's actions are none of it.
    pub(crate) fn act(&mut self, action: &Action) {
        match *action {
            Action::Append(writer, lines) => (0..lines).for_each(|_| self.append_command(writer, 0)),
            Action::Tell(writer, what) => self.tell(writer, what),
            Action::Long(writer, bytes) => self.append_command(writer, bytes),
            Action::Tear(writer, share) => self.tear(writer, share),
            Action::Reopen(writer) => self.writers[writer % WRITERS].file = None,
            Action::Replace(writer) => self.replace(writer % WRITERS),
            Action::KeepOffset(writer) => self.keep_offset(writer % WRITERS),
            Action::Rotate(naming) => self.rotate(naming),
            Action::Create => self.create(),
            Action::CopyTruncate => self.copy_truncate(),
            Action::Compress(which) => self.compress(which, 1000),
            Action::CompressPartly(which, share) => self.compress(which, share),
            Action::Truncate(share) => self.truncate(share),
            Action::Regrow(share, writer) => self.regrow(share, writer),
            Action::Remove => drop(fs::remove_file(self.path())),
            Action::RemoveRotated(which) => {
                if let Some(path) = chosen(&self.rotated(), which) {
                    fs::remove_file(path).unwrap();
                }
            }
            Action::Recreate(writer, lines) => self.recreate(writer, lines),
            Action::RemakeDirectory => {
                fs::remove_dir_all(self.directory()).unwrap();
                fs::create_dir(self.directory()).unwrap();
            }
            Action::SwapDirectory => self.swap_directory(),
            Action::RestoreDirectory => self.restore_directory(),
            Action::Link(store) => self.link(store),
            Action::Backup => self.backup = fs::read(self.path()).ok(),
            Action::Restore { rename } => self.restore(rename),
            Action::CopyBeside => drop(fs::copy(self.path(), self.sibling(".bak"))),
            Action::Junk(kind) => self.junk(kind),
            Action::Repeat => {
                let line = [&self.last[..], b"\n"].concat();
                self.write_raw(&line);
            }
            Action::Scripts(lines) => self.scripts(lines),
            Action::EditOut(share) => self.edit(|lines| {
                lines.remove(lines.len() * share / 1000);
            }),
            Action::DropFront(count) => self.edit(|lines| drop(lines.drain(..count.min(lines.len())))),
            Action::ZeroTail(share) => self.zero_tail(share),
            Action::Clock(seconds) => self.clock += seconds * 1000,
            Action::Look | Action::Glance | Action::LookInTwo | Action::Checkpoint | Action::Restart(_) => {}
        }
    }

    fn sibling(&self, suffix: &str) -> PathBuf {
        let mut path = self.path().into_os_string();
        path.push(suffix);
        path.into()
    }

    fn replace(&mut self, writer: usize) {
        self.count += 1;
        self.writers[writer] = Writer { name: format!("w{writer}-{}", self.count), seq: 0, file: None };
        if self.alone == Some(writer) {
            self.alone = None;
        }
    }

    fn keep_offset(&mut self, writer: usize) {
        self.alone.into_iter().chain([writer]).for_each(|writer| self.replace(writer));
        self.alone = Some(writer);
    }

    /// The file a writer appends to; `None` if it can have none.
    fn file(&mut self, writer: usize) -> Option<&File> {
        if self.writers[writer].file.is_none() {
            let own_offset = self.alone == Some(writer);
            let mut options = OpenOptions::new();
            options.read(true).write(true).append(!own_offset).create(true).truncate(false);
            let mut file = options.open(self.path()).ok()?;
            let size = file.seek(SeekFrom::End(0)).unwrap();
            if size > 0 {
                let mut last = [0];
                file.seek(SeekFrom::Start(size - 1)).unwrap();
                file.read_exact(&mut last).unwrap();
                if last != *b"\n" {
                    file.write_all(b"\n").unwrap();
                }
            }
            self.writers[writer].file = Some(file);
        }
        self.writers[writer].file.as_ref()
    }

    fn append(&mut self, writer: usize, event: &str, counts: Vec<(Series, f64)>) {
        let writer = self.alone.unwrap_or(writer % WRITERS);
        let line = self.next_line(writer, event);
        let meaning =
            Meaning { writer: self.writers[writer].name.clone(), seq: self.writers[writer].seq, counts };
        if let Some(mut file) = self.file(writer) {
            file.write_all(&[&line[..], b"\n"].concat()).unwrap();
            self.last.clone_from(&line);
            self.lines.insert(line, meaning);
        }
    }

    fn next_line(&mut self, writer: usize, event: &str) -> Vec<u8> {
        self.clock += 7;
        let time = Timestamp::from_millisecond(self.clock).unwrap();
        let Writer { name, seq, .. } = &mut self.writers[writer];
        *seq += 1;
        format!(r#"{{"v":1,"writer":"{name}","seq":{seq},"time":"{time:.3}",{event}}}"#).into_bytes()
    }

    fn append_command(&mut self, writer: usize, bytes: usize) {
        let id = format!("c{}", self.lines.len() % 5);
        let source = "s".repeat(bytes.min(900));
        let padding = " ".repeat(bytes.saturating_sub(900));
        let event = format!(
            r#""event":"command","id":"{id}","mode":"check","error":false,"source":"{source}"{padding}"#
        );
        let labels = [
            ("error", "0"),
            ("id", &id),
            ("mode", "check"),
            ("parent_id", ""),
            ("public_key", ""),
            ("remote_addr", ""),
            ("source", &source),
        ];
        self.append(writer, &event, vec![(Series::new("etcha_commands_total", &labels), 1.0)]);
    }

    fn tell(&mut self, writer: usize, what: usize) {
        let shell = |state, session: u64| {
            format!(r#""event":"shell","name":"s","session":"{session}","state":"{state}""#)
        };
        match what % 9 {
            0 => self.append(writer, r#""event":"engine","state":"started""#, vec![]),
            1 => self.append(writer, r#""event":"engine","state":"stopped""#, vec![]),
            2 => {
                self.session += 1;
                let labels = [("name", "s"), ("public_key", ""), ("remote_addr", "")];
                let opened = (Series::new("etcha_shells_opened_total", &labels), 1.0);
                self.append(writer, &shell("opened", self.session), vec![opened]);
            }
            3 => self.append(writer, &shell("closed", self.session), vec![]),
            5 => {
                self.session += 1;
                let run = format!(
                    r#""event":"run","name":"s","trigger":"pull","run":"{}","state":"started","duration_seconds":5"#,
                    self.session
                );
                self.append(writer, &run, vec![]);
            }
            6 => {
                let run = format!(
                    r#""event":"run","name":"s","trigger":"pull","run":"{}","state":"ended""#,
                    self.session
                );
                self.append(writer, &run, vec![]);
            }
            7 => self.append(writer, r#""event":"heartbeat""#, vec![]),
            8 => {
                let event = r#""event":"refused","action":"push","reason":"signature","count":3"#;
                let labels = [("action", "push"), ("reason", "signature")];
                self.append(writer, event, vec![(Series::new("etcha_refusals_total", &labels), 3.0)]);
            }
            _ => {
                let run = |error: &str| {
                    let key = [("error", error), ("name", "s"), ("public_key", ""), ("remote_addr", "")];
                    let labels: Vec<_> = key.into_iter().chain([("trigger", "pull")]).collect();
                    Series::new("etcha_sources_total", &labels)
                };
                let event = r#""event":"source","name":"s","trigger":"pull","error":false,"changed":2"#;
                self.append(writer, event, vec![(run("0"), 1.0), (run("1"), 0.0)]);
            }
        }
    }

    fn tear(&mut self, writer: usize, share: usize) {
        let writer = self.alone.unwrap_or(writer % WRITERS);
        let line = self.next_line(writer, r#""event":"engine","state":"stopped""#);
        let kept = (line.len() * share / 1000).clamp(1, line.len() - 1);
        if let Some(mut file) = self.file(writer) {
            file.write_all(&line[..kept]).unwrap();
        }
        self.replace(writer);
    }

    /// Rotated files, in the order of their names.
    fn rotated(&self) -> Vec<PathBuf> {
        siblings(&self.path())
    }

    fn rotate(&mut self, naming: Naming) {
        self.count += 1;
        let to = match naming {
            Naming::Time => self.sibling(&format!(".20260101T{:06}Z", self.count)),
            Naming::Day => self.sibling(&format!("-2026{:04}", self.count)),
            Naming::Number => self.number_one(),
        };
        drop(fs::rename(self.path(), to));
    }

    /// `.1`, free for a new file: the others have moved up and the last one is gone.
    fn number_one(&self) -> PathBuf {
        for number in (1..NUMBERS).rev() {
            for suffix in ["", ".gz", ".zst"] {
                let from = self.sibling(&format!(".{number}{suffix}"));
                let to = self.sibling(&format!(".{}{suffix}", number + 1));
                drop(fs::rename(from, to));
            }
        }
        self.sibling(".1")
    }

    fn create(&mut self) {
        drop(OpenOptions::new().append(true).create(true).open(self.path()));
    }

    fn copy_truncate(&mut self) {
        if self.path().exists() {
            fs::copy(self.path(), self.number_one()).unwrap();
            self.truncate(0);
        }
    }

    fn compress(&mut self, which: usize, share: usize) {
        let plain: Vec<_> = self.rotated().into_iter().filter(|path| !is_compressed(path)).collect();
        // A link may lead nowhere.
        let plain: Vec<_> = plain.into_iter().filter(|path| path.exists()).collect();
        let Some(path) = chosen(&plain, which) else { return };
        let plain = fs::read(path).unwrap();
        let (bytes, ending) = if self.count.is_multiple_of(2) {
            (zstd::encode_all(&plain[..], 1).unwrap(), ".zst")
        } else {
            let mut encoder = GzEncoder::new(Vec::new(), Level::fast());
            encoder.write_all(&plain).unwrap();
            (encoder.finish().unwrap(), ".gz")
        };
        let mut compressed = path.clone().into_os_string();
        compressed.push(ending);
        fs::write(compressed, &bytes[..bytes.len() * share / 1000]).unwrap();
        if share == 1000 {
            fs::remove_file(path).unwrap();
            self.let_go_of_removed();
        }
    }

    /// Writers on a file that was compressed and removed would write lines that nobody can ever see.
    fn let_go_of_removed(&mut self) {
        use std::os::unix::fs::MetadataExt as _;
        for writer in &mut self.writers {
            if writer.file.as_ref().is_some_and(|file| file.metadata().unwrap().nlink() == 0) {
                writer.file = None;
            }
        }
    }

    fn size(&self) -> Option<u64> {
        fs::metadata(self.path()).ok().map(|metadata| metadata.len())
    }

    fn truncate(&mut self, share: usize) {
        if let Some(size) = self.size() {
            let file = OpenOptions::new().write(true).open(self.path()).unwrap();
            file.set_len(size * share as u64 / 1000).unwrap();
        }
    }

    fn regrow(&mut self, share: usize, writer: usize) {
        let Some(size) = self.size() else { return };
        self.truncate(share);
        self.writers[self.alone.unwrap_or(writer % WRITERS)].file = None;
        while self.size().is_some_and(|now| now <= size) {
            self.append_command(writer, 0);
        }
    }

    fn recreate(&mut self, writer: usize, lines: usize) {
        for writer in &mut self.writers {
            writer.file = None;
        }
        drop(fs::remove_file(self.path()));
        (0..lines).for_each(|_| self.append_command(writer, 0));
    }

    fn swap_directory(&mut self) {
        let away = self.root.path().join("away");
        drop(fs::remove_dir_all(&away));
        fs::rename(self.directory(), away).unwrap();
        fs::create_dir(self.directory()).unwrap();
    }

    fn restore_directory(&mut self) {
        let away = self.root.path().join("away");
        if away.exists() {
            fs::remove_dir_all(self.directory()).unwrap();
            fs::rename(away, self.directory()).unwrap();
        }
    }

    fn link(&mut self, store: usize) {
        let store = self.root.path().join(format!("store-{}", store % 2));
        fs::create_dir_all(&store).unwrap();
        let target = store.join("store.jsonl");
        let is_file = fs::symlink_metadata(self.path()).is_ok_and(|metadata| metadata.is_file());
        if is_file && !target.exists() {
            fs::rename(self.path(), &target).unwrap();
        }
        let link = self.root.path().join("link");
        std::os::unix::fs::symlink(target, &link).unwrap();
        fs::rename(link, self.path()).unwrap();
    }

    fn restore(&mut self, rename: bool) {
        let Some(backup) = self.backup.clone() else { return };
        if rename {
            let copy = self.root.path().join("copy");
            fs::write(&copy, backup).unwrap();
            fs::rename(copy, self.path()).unwrap();
        } else {
            drop(fs::write(self.path(), backup));
        }
        (0..WRITERS).for_each(|writer| self.replace(writer));
    }

    /// Scripts beside the agent, each with a file of its own.
    fn scripts(&mut self, lines: usize) {
        let kept = std::mem::take(&mut self.writers[0]);
        if self.alone.is_none() {
            for _ in 0..lines {
                self.count += 1;
                self.writers[0].name = format!("script-{}", self.count);
                self.writers[0].seq = 0;
                self.append_command(0, 0);
            }
        }
        self.writers[0] = kept;
    }

    /// Changes the lines of the active file, by a new file in its place. Its writers are replaced.
    fn edit(&mut self, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
        let Ok(content) = fs::read(self.path()) else { return };
        let mut lines: Vec<_> = content.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        if lines.is_empty() {
            return;
        }
        change(&mut lines);
        let copy = self.root.path().join("copy");
        fs::write(&copy, lines.concat()).unwrap();
        fs::rename(copy, self.path()).unwrap();
        (0..WRITERS).for_each(|writer| self.replace(writer));
    }

    fn zero_tail(&mut self, share: usize) {
        let Ok(mut content) = fs::read(self.path()) else { return };
        let from = content.len() * share / 1000;
        content[from..].fill(0);
        fs::write(self.path(), content).unwrap();
        (0..WRITERS).for_each(|writer| self.replace(writer));
    }

    fn junk(&mut self, kind: usize) {
        let overlong = [&[b'x'; 70_000][..], b"\n"].concat();
        let later = br#"{"v":1,"writer":"later-1","seq":1,"time":"2026-01-01T00:00:00.000Z","event":"new"}"#;
        let crlf = [&later[..], b"\r\n"].concat();
        let kinds: [&[u8]; 8] = [
            b"\n",
            b"no line of ours\n",
            &[0; 300],
            &overlong,
            b"{\"v\":2,\"writer\":\"x\",\"seq\":1}\n",
            b"\xff\xfe\n",
            &crlf,
            b"torn",
        ];
        let junk = kinds[kind % kinds.len()];
        // A file is looked into for its first usable line up to twice the length of a line, and no further.
        let front = fs::read(self.path()).unwrap_or_default();
        let is_nameless = !front.windows(6).any(|bytes| bytes == br#"{"v":1"#);
        if !(is_nameless && front.len() + junk.len() > 2 * MAX_LINE_BYTES) {
            self.write_raw(junk);
        }
    }

    /// Puts bytes behind the active file's end, if there is such a file and nobody has an offset of his own in it.
    fn write_raw(&mut self, bytes: &[u8]) {
        if self.alone.is_none()
            && let Ok(mut file) = OpenOptions::new().append(true).open(self.path())
        {
            file.write_all(bytes).unwrap();
        }
    }

    /// Whether a compressed file stands beside the one it is made from, or beside another of that name.
    pub(crate) fn is_compressing(&self) -> bool {
        self.rotated().iter().any(|path| is_compressed(path) && path.with_extension("").exists())
    }

    /// The lines that are completely there now, in all files that belong to the journal.
    pub(crate) fn present(&self) -> Vec<&Meaning> {
        let mut files = vec![self.path()];
        files.extend(self.rotated());
        if let Ok(target) = fs::canonicalize(self.path()) {
            files.extend(siblings(&target));
        }
        let mut present = Vec::new();
        for bytes in files.iter().filter_map(|path| content(path)) {
            for line in bytes.split(|&byte| byte == b'\n') {
                // A hole ends what stands before it and is followed by a line that is whole again.
                let whole = line.rsplit(|&byte| byte == 0).next().unwrap_or_default();
                present.extend(self.lines.get(whole));
            }
        }
        present
    }
}

/// The content of a file as far as it can be read, up to its last LF.
fn content(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = fs::read(path).ok()?;
    if let Some(compression) = Compression::of(path) {
        let mut plain = Vec::new();
        let _ = compression.decode(&bytes[..]).unwrap().read_to_end(&mut plain);
        bytes = plain;
    }
    let end = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    bytes.truncate(end);
    Some(bytes)
}

fn siblings(path: &Path) -> Vec<PathBuf> {
    let name = path.file_name().unwrap().to_str().unwrap();
    let Ok(entries) = fs::read_dir(path.parent().unwrap()) else { return Vec::new() };
    let mut siblings: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let rest = path.file_name().unwrap().to_str().unwrap().strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['.', '-']))
        })
        .collect();
    siblings.sort();
    siblings
}

fn is_compressed(path: &Path) -> bool {
    Compression::of(path).is_some()
}

fn chosen(paths: &[PathBuf], which: usize) -> Option<&PathBuf> {
    paths.get(which.checked_rem(paths.len())?)
}
