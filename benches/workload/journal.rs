//! Journals that are the same each time, and one that grows at a pace.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use journal_schema::glance::Kind;
use journal_schema::{Envelope, Event, Options, Sync, Writer, encode};
use serde_json::value::RawValue;

use crate::labels::{Labels, Random};
use crate::mix::{Author, Mix};

/// What is peculiar about the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// All events, as an agent and a script write them.
    Mixed,
    /// The commands, or the runs of Sources, of a mix and nothing else.
    Only(Kind),
    /// Commands alone, as the contract's writer writes them.
    Canonical,
    /// Members in alphabetical order.
    Reordered,
    /// Each line names a Command that no other line names.
    Fresh,
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(word: &str) -> Result<Shape, String> {
        match word {
            "mixed" => Ok(Shape::Mixed),
            "commands" => Ok(Shape::Only(Kind::Command)),
            "sources" => Ok(Shape::Only(Kind::Source)),
            "canonical" => Ok(Shape::Canonical),
            "reordered" => Ok(Shape::Reordered),
            "fresh" => Ok(Shape::Fresh),
            other => Err(format!(
                "{other}: no shape of a journal; there are mixed, commands, sources, canonical, reordered and fresh"
            )),
        }
    }
}

/// Milliseconds since 1970 of the first line, and between two lines.
const BEGIN: i64 = 1_767_225_600_000;
const STEP: i64 = 7;

/// Who writes the journals of commands alone.
const WRITER: &str = "6b7c1f2e9d30a485";

/// Writes `lines` lines over `series` series of commands. First each series once, in order; then any may be next, so that a
/// table of series is not walked from one end to the other. A `part` goes on where the one before it ended.
pub(crate) fn generate(path: &Path, lines: u64, series: u64, shape: Shape, part: u64) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut line = Vec::with_capacity(1024);
    let (mut random, mut labels) = (Random(series), Labels::default());
    let (mut mix, mut authors) = (Mix::new(series, series + part), Authors { part, ..Authors::default() });
    for at in 0..lines {
        let millis = BEGIN + STEP * i64::try_from(part * lines + at).unwrap_or(i64::MAX / STEP / 2);
        let time = Timestamp::from_millisecond(millis).map_err(io::Error::other)?;
        line.clear();
        if let Shape::Mixed | Shape::Only(_) = shape {
            loop {
                let (author, event) = mix.next();
                if is_wanted(shape, &event) {
                    let (writer, seq) = authors.next(author);
                    break encode(&Envelope { writer: writer.into(), seq, time }, &event, &mut line);
                }
            }
        } else {
            let any = random.next();
            let of = if shape == Shape::Fresh || at < series { at } else { any % series };
            let envelope = Envelope { writer: WRITER.into(), seq: part * lines + at + 1, time };
            encode(&envelope, &labels.event(of, any), &mut line)
        }
        .map_err(|error| io::Error::other(format!("{error:?}")))?;
        match shape {
            Shape::Reordered => out.write_all(&reordered(&line)?)?,
            _ => out.write_all(&line)?,
        }
    }
    out.flush()
}

fn is_wanted(shape: Shape, event: &Event<'_>) -> bool {
    match shape {
        Shape::Only(Kind::Command) => matches!(event, Event::Command(_)),
        Shape::Only(Kind::Source) => matches!(event, Event::Source(_)),
        _ => true,
    }
}

/// The names of those who write a mix, and their numbers so far.
#[derive(Debug, Default)]
struct Authors {
    part: u64,
    starts: u64,
    agent: String,
    agent_seq: u64,
    script: String,
    script_seq: u64,
}

impl Authors {
    fn next(&mut self, author: Author) -> (&str, u64) {
        match author {
            Author::Agent(starts) => {
                if self.starts != starts {
                    self.starts = starts;
                    self.agent = format!("{:016x}", Random(self.part << 32 | starts).next());
                    self.agent_seq = 0;
                }
                self.agent_seq += 1;
                (&self.agent, self.agent_seq)
            }
            Author::Script => {
                if self.script.is_empty() {
                    self.script = format!("script-{}", self.part);
                }
                self.script_seq += 1;
                (&self.script, self.script_seq)
            }
        }
    }
}

/// Appends `lines` lines of a mix over `series` series of commands by the contract's writer, one `write(2)` each, `rate` a second; 0 is as
/// fast as it goes. Whoever is late hurries: the rate holds over the whole.
#[expect(clippy::disallowed_methods, reason = "keeps a pace: nothing else happens to wait for")]
pub(crate) fn append(path: &Path, lines: u64, series: u64, rate: u32) -> io::Result<()> {
    let options = Options { max_bytes: 0, sync: Sync::Never, ..Options::default() };
    let mut writer = Writer::open(path, options).map_err(io::Error::other)?;
    let mut mix = Mix::new(series, series);
    let begin = Instant::now();
    for at in 0..lines {
        writer.append(&mix.next().1).map_err(io::Error::other)?;
        if rate > 0 {
            let due = Duration::from_nanos(1_000_000_000 / u64::from(rate) * (at + 1));
            // A sleep takes longer than it is told to; so several lines go together, a millisecond apart.
            let early = due.saturating_sub(begin.elapsed());
            if early >= Duration::from_millis(1) {
                std::thread::sleep(early);
            }
        }
    }
    writer.close().map_err(io::Error::other)
}

/// The line with its members in alphabetical order.
fn reordered(line: &[u8]) -> io::Result<Vec<u8>> {
    let members: BTreeMap<&str, &RawValue> = serde_json::from_slice(line)?;
    let mut line = serde_json::to_vec(&members)?;
    line.push(b'\n');
    Ok(line)
}
