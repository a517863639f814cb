//! Order: which of two events is the later one. A last value never goes back because a line is read late.
//!
//! An event is named by its time and, within its writer, by its number: a clock may be set back under a writer, its numbers
//! go on. Of two writers at one time, the line that is read later is the later one. Knows no family.

use journal_schema::Envelope;
use journal_schema::glance::Glance;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::catalogue::FamilyId;
use super::tables::{Tables, Values};

/// Starts and ends of the agent remembered, so that a shell whose opening is read late is ended by the right one.
const ENGINES_REMEMBERED: usize = 256;

/// Writers whose digests are remembered: an agent and a few scripts beside it.
const WRITERS_REMEMBERED: usize = 8;

/// Families that are counted from the journal.
const FAMILIES: usize = FamilyId::GUIDE.len() + FamilyId::FURTHER.len();

/// When an event happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Moment {
    /// Nanoseconds since 1970, by its writer's clock.
    nanosecond: i64,
    /// Digest of its writer's name.
    writer: u64,
    seq: u64,
}

impl Moment {
    pub(crate) fn of(envelope: &Envelope<'_>) -> Moment {
        let nanosecond = envelope.time.as_nanosecond();
        Moment {
            nanosecond: i64::try_from(nanosecond).unwrap_or(if nanosecond < 0 { i64::MIN } else { i64::MAX }),
            writer: digest(envelope.writer.as_bytes()),
            seq: envelope.seq,
        }
    }

    /// A moment of no known line, in milliseconds since 1970.
    pub(crate) fn at(millisecond: i64) -> Moment {
        Moment { nanosecond: millisecond.saturating_mul(1_000_000), ..Moment::default() }
    }

    /// The same line, about what began so many seconds before it. It stays between the lines of its writer.
    pub(crate) fn earlier(self, seconds: f64) -> Moment {
        #[expect(clippy::cast_possible_truncation, reason = "what is longer than centuries is cut off")]
        let nanoseconds = (seconds * 1e9) as i64;
        Moment { nanosecond: self.nanosecond.saturating_sub(nanoseconds), ..self }
    }

    /// Milliseconds since 1970.
    pub(crate) fn millisecond(self) -> i64 {
        self.nanosecond.div_euclid(1_000_000)
    }

    /// Whether this event, which was read after `other`, is also the later one.
    pub(crate) fn is_after(self, other: Moment) -> bool {
        if self.writer == other.writer && self.seq != other.seq {
            self.seq > other.seq
        } else {
            self.nanosecond >= other.nanosecond
        }
    }
}

fn digest(writer: &[u8]) -> u64 {
    let mut digest = [0; 8];
    digest.copy_from_slice(&Sha256::digest(writer)[..8]);
    u64::from_le_bytes(digest)
}

/// The events that the last values come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Order {
    /// Of series that hold a last value: for each family, by its number, those of its series in their order.
    series: [Vec<Latest>; FAMILIES],
    /// Of what is known of the agent: its state, its start, its version.
    pub(crate) state: Latest,
    pub(crate) start: Latest,
    pub(crate) version: Latest,
    pub(crate) heartbeat: Latest,
    /// Starts (true) and ends of the agent, in their order.
    engines: Vec<(Moment, bool)>,
    /// Writers that were asked for lately, with their digests, the latest one last.
    writers: Vec<(Vec<u8>, u64)>,
}

/// The event that one last value comes from; `None` before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Latest(Option<Moment>);

impl Latest {
    /// Whether an event at this moment sets the value. If so it is the latest one from now on.
    pub(crate) fn take(&mut self, moment: Moment) -> bool {
        let is_later = self.0.is_none_or(|latest| moment.is_after(latest));
        if is_later {
            self.0 = Some(moment);
        }
        is_later
    }
}

impl Order {
    /// [`Moment::of`] a line that a glance took apart.
    pub(crate) fn moment_of(&mut self, glance: &Glance<'_>) -> Moment {
        let known = self.writers.iter().rev().find(|(name, _)| name == glance.writer);
        let writer = known.map(|(_, digest)| *digest).unwrap_or_else(|| {
            if self.writers.len() >= WRITERS_REMEMBERED {
                self.writers.remove(0);
            }
            let digest = digest(glance.writer);
            self.writers.push((glance.writer.to_vec(), digest));
            digest
        });
        Moment { nanosecond: glance.nanosecond(), writer, seq: glance.seq }
    }

    /// Whether an event at this moment sets the value of a series.
    pub(crate) fn sets(&mut self, family: FamilyId, series: u32, moment: Moment) -> bool {
        let (family, series) = (&mut self.series[family as usize], series as usize);
        if series >= family.len() {
            family.resize(series + 1, Latest::default());
        }
        family[series].take(moment)
    }

    /// The agent started, or stopped.
    pub(crate) fn engine(&mut self, moment: Moment, started: bool) {
        let at = self.engines.iter().rposition(|(other, _)| moment.is_after(*other)).map_or(0, |at| at + 1);
        self.engines.insert(at, (moment, started));
        if self.engines.len() > ENGINES_REMEMBERED {
            self.engines.remove(0);
        }
    }

    /// The first start or end of the agent after this moment.
    pub(crate) fn engine_after(&self, moment: Moment) -> Option<(Moment, bool)> {
        self.engines.iter().copied().find(|(engine, _)| !moment.is_after(*engine))
    }

    pub(crate) fn record(&self) -> OrderRecord {
        let series = (0..).zip(&self.series).flat_map(|(family, series)| {
            (0..).zip(series).filter_map(move |(at, latest)| latest.0.map(|moment| ((family, at), moment)))
        });
        let series = series.collect();
        let Order { state, start, version, heartbeat, ref engines, .. } = *self;
        OrderRecord { series, state, start, version, engines: engines.clone(), heartbeat }
    }
}

/// [`Order`] as a checkpoint keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OrderRecord {
    series: Vec<((u8, u32), Moment)>,
    state: Latest,
    start: Latest,
    version: Latest,
    engines: Vec<(Moment, bool)>,
    heartbeat: Latest,
}

/// The same as version 2 of the checkpoint kept it.
#[derive(Debug, Deserialize)]
pub(crate) struct OrderRecordV2 {
    series: Vec<((u8, u32), Moment)>,
    state: Latest,
    start: Latest,
    version: Latest,
    engines: Vec<(Moment, bool)>,
}

impl From<OrderRecordV2> for OrderRecord {
    fn from(record: OrderRecordV2) -> OrderRecord {
        let OrderRecordV2 { series, state, start, version, engines } = record;
        OrderRecord { series, state, start, version, engines, heartbeat: Latest::default() }
    }
}

impl OrderRecord {
    /// Of tables that do not say which events their last values come from: at the times that stand in them.
    pub(crate) fn of(tables: &Tables) -> OrderRecord {
        let mut series = Vec::new();
        for family in [FamilyId::SourceLastChange, FamilyId::SourceLastRun, FamilyId::SourceLastSuccess] {
            if let Values::Milliseconds(table) = tables.family(family).1 {
                let all = (0..).take(table.len());
                series.extend(all.map(|at| ((family as u8, at), Moment::at(*table.value(at)))));
            }
        }
        let engine = Latest(tables.engine.started.map(|_| Moment::at(tables.engine.start)));
        OrderRecord { series, state: engine, start: engine, version: engine, ..OrderRecord::default() }
    }
}

impl Order {
    /// Goes on from a record that was made with these tables.
    pub(crate) fn restore(record: OrderRecord, tables: &Tables) -> Order {
        let OrderRecord { series, state, start, version, mut engines, heartbeat } = record;
        engines.truncate(ENGINES_REMEMBERED);
        let mut order = Order { state, start, version, heartbeat, engines, ..Order::default() };
        for ((number, series), moment) in series {
            let family = FamilyId::all().find(|family| *family as u8 == number);
            if let Some(family) = family.filter(|family| (series as usize) < tables.family(*family).1.len()) {
                order.sets(family, series, moment);
            }
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn moment(writer: &str, seq: u64, second: i64) -> Moment {
        let time = Timestamp::from_second(second).unwrap();
        Moment::of(&Envelope { writer: writer.to_owned().into(), seq, time })
    }

    #[test]
    fn within_a_writer_the_number_decides_and_between_writers_the_time() {
        assert!(moment("a", 2, 10).is_after(moment("a", 1, 50)), "the clock was set back");
        assert!(!moment("a", 1, 50).is_after(moment("a", 2, 10)));
        assert!(moment("b", 1, 60).is_after(moment("a", 9, 50)));
        assert!(!moment("b", 9, 40).is_after(moment("a", 1, 50)));
    }

    #[test]
    fn a_shell_read_late_is_ended_by_the_first_start_or_end_after_it() {
        let mut order = Order::default();
        for (second, started) in [(30, true), (10, true), (20, false)] {
            order.engine(moment("a", second, i64::try_from(second).unwrap()), started);
        }
        let ended =
            |second| order.engine_after(moment("b", 1, second)).map(|(at, started)| (at.seq, started));
        assert_eq!(ended(5), Some((10, true)));
        assert_eq!(ended(15), Some((20, false)));
        assert_eq!(ended(25), Some((30, true)));
        assert_eq!(ended(35), None);
        assert_eq!(Order::restore(order.record(), &Tables::default()), order);
    }
}
