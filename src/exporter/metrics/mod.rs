//! Metrics: what events add up to. An event goes in, series change; nothing here knows files, text formats or HTTP.
//!
//! # Layout
//!
//! * `catalogue`: every family's name, type, labels, help.
//! * `labels`: label values into label text, and their limit; `breaks`: characters that break a line.
//! * `table`: the series of a family; `column` is what makes a table cheap to publish.
//! * `order`: which of two events is the later one, for last values.
//! * `sessions`: which shells are open and which runs under way; `histogram`: a histogram's value.
//! * `shortcut`: from label bytes that were seen before to their series.
//! * `tables`: all families as of one moment; `kept`: as a checkpoint keeps them; `v2`: as an earlier one did.
//! * `apply`: what each event does. `recent`: what happened lately, for a person.
//! * this file: the one who counts, its limits, and what a checkpoint keeps of it.

mod apply;
mod breaks;
pub(crate) mod catalogue;
mod column;
mod histogram;
mod kept;
pub(crate) mod labels;
mod order;
pub(crate) mod recent;
mod sessions;
mod shortcut;
mod table;
mod tables;
mod v2;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::apply::Learned;
use self::labels::{LabelLimit, push_label};
use self::order::{Order, OrderRecord, OrderRecordV2};
use self::sessions::{OpenSession, Sessions, SessionsRecord, SessionsRecordV1};
use self::table::{Index, Room};
use self::v2::TablesV2;

pub(crate) use self::apply::{CommandSeries, Known};
pub(crate) use self::histogram::Histogram;
pub use self::recent::Recent;
pub use self::sessions::OpenShells;
pub(crate) use self::shortcut::TOGETHER;
pub(crate) use self::table::Table;
pub use self::tables::Tables;
pub(crate) use self::tables::{ABSENT, EngineRecord, Values, seconds};

/// Default of `--max-series`: ten times what a large agent runs in one push.
pub(crate) const DEFAULT_MAX_SERIES: usize = 100_000;

/// How much the metrics may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Series a family; what goes beyond, or beyond 640 bytes of label text for each of so many, is counted in the
    /// family's overflow series.
    pub series: usize,
    /// Bytes a label value.
    pub label: LabelLimit,
}

/// Bytes of label text that a series may have on average. A small host has the default of series with 64 MB of it; what a
/// hostile writer can make of a scrape is a small multiple.
const MEAN_LABEL_BYTES: usize = 640;

/// Bytes of label text that there is always room for.
const MIN_LABEL_BYTES: usize = 1024 * 1024;

impl Limits {
    /// The room that these limits leave a series.
    fn room(&self) -> Room {
        Room { series: self.series, bytes: self.series.saturating_mul(MEAN_LABEL_BYTES).max(MIN_LABEL_BYTES) }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { series: DEFAULT_MAX_SERIES, label: LabelLimit::default() }
    }
}

/// The one who counts: takes events, changes tables.
#[derive(Debug, Default)]
pub struct Metrics {
    tables: Tables,
    index: Index,
    learned: Learned,
    shells: Sessions,
    runs: Sessions,
    order: Order,
    recent: Arc<Recent>,
    /// Whether shells may be open that an agent has ended since.
    is_late: bool,
    limits: Limits,
    /// Label text in the making; kept for its capacity.
    text: String,
}

/// What a checkpoint keeps of [`Metrics`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Record {
    pub(crate) tables: Tables,
    pub(crate) shells: SessionsRecord,
    pub(crate) order: OrderRecord,
    pub(crate) runs: SessionsRecord,
    /// What happened lately. It is written behind everything else, see [`crate::checkpoint`].
    #[serde(skip)]
    pub(crate) recent: Arc<Recent>,
}

impl Record {
    /// What happened lately.
    pub fn recent(&self) -> &Recent {
        &self.recent
    }
}

/// The same as version 1 of the checkpoint kept it: last values without the events that they come from.
#[derive(Debug, Deserialize)]
pub(crate) struct RecordV1 {
    tables: TablesV2,
    shells: SessionsRecordV1,
}

impl From<RecordV1> for Record {
    fn from(record: RecordV1) -> Record {
        let tables = Tables::from(record.tables);
        let order = OrderRecord::of(&tables);
        Record { tables, shells: record.shells.into(), order, ..Record::default() }
    }
}

/// The same as version 2 of the checkpoint kept it: without runs under way.
#[derive(Debug, Deserialize)]
pub(crate) struct RecordV2 {
    tables: TablesV2,
    shells: SessionsRecord,
    order: OrderRecordV2,
}

impl From<RecordV2> for Record {
    fn from(record: RecordV2) -> Record {
        let RecordV2 { tables, shells, order } = record;
        Record { tables: tables.into(), shells, order: order.into(), ..Record::default() }
    }
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new(limits: Limits) -> Metrics {
        Metrics { limits, ..Metrics::default() }
    }

    /// The state as it is now.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// The shells that are open now.
    pub(crate) fn open_shells(&self) -> OpenShells {
        self.shells.latest()
    }

    /// What happened lately.
    pub(crate) fn recent(&self) -> Arc<Recent> {
        Arc::clone(&self.recent)
    }

    /// What a later process needs to go on from here.
    pub fn record(&self) -> Record {
        Record {
            tables: self.tables.clone(),
            shells: self.shells.record(),
            order: self.order.record(),
            runs: self.runs.record(),
            recent: Arc::clone(&self.recent),
        }
    }

    /// Goes on from a record; `None` if its parts do not fit each other.
    pub fn restore(record: Record, limits: Limits) -> Option<Metrics> {
        if !record.tables.is_sound() {
            return None;
        }
        let (shells, runs) = (record.tables.sources_shells.len(), record.tables.source_run_start.len());
        let fit =
            |open: &[OpenSession], series| open.iter().all(|session| (session.series as usize) < series);
        if !fit(&record.shells.open, shells) || !fit(&record.runs.open, runs) {
            return None;
        }
        // For people only, and so never a reason to count anything anew.
        let recent = if record.recent.fits(&record.tables) { record.recent } else { Arc::default() };
        let mut index = Index::default();
        record.tables.adopt_all(&mut index);
        let order = Order::restore(record.order, &record.tables);
        Some(Metrics {
            tables: record.tables,
            index,
            learned: Learned::default(),
            shells: record.shells.into(),
            runs: record.runs.into(),
            order,
            recent,
            is_late: true,
            limits,
            text: String::new(),
        })
    }

    /// Makes the label text of a series in `self.text`.
    fn label(&mut self, labels: &[(&str, &str)]) {
        self.text.clear();
        for (name, value) in labels {
            let (shown, is_short) = self.limits.label.apply(value);
            self.tables.oddities.labels_shortened += u64::from(is_short);
            push_label(&mut self.text, name, &shown);
        }
    }
}
