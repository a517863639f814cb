//! Tables as versions 1 and 2 of the checkpoint kept them: without refusals, runs under way and heartbeats.

use serde::Deserialize;

use super::histogram::Histogram;
use super::table::Table;
use super::tables::{EngineRecord, Oddities, Tables};

/// [`Tables`] of that time.
#[derive(Debug, Deserialize)]
pub(super) struct TablesV2 {
    commands: Table<u64>,
    sources_commands: Table<u64>,
    sources_shells: Table<u64>,
    sources: Table<u64>,
    shell_duration: Table<Histogram>,
    shells_closed: Table<u64>,
    shells_opened: Table<u64>,
    source_last_change: Table<i64>,
    source_last_run: Table<i64>,
    source_last_success: Table<i64>,
    source_run_duration: Table<Histogram>,
    engine: EngineRecordV2,
    oddities: Oddities,
}

#[derive(Debug, Deserialize)]
struct EngineRecordV2 {
    started: Option<bool>,
    start: i64,
    pid: Option<u32>,
    version: String,
    starts: u64,
}

impl From<TablesV2> for Tables {
    fn from(tables: TablesV2) -> Tables {
        let EngineRecordV2 { started, start, pid, version, starts } = tables.engine;
        Tables {
            commands: tables.commands,
            sources_commands: tables.sources_commands,
            sources_shells: tables.sources_shells,
            sources: tables.sources,
            shell_duration: tables.shell_duration,
            shells_closed: tables.shells_closed,
            shells_opened: tables.shells_opened,
            source_last_change: tables.source_last_change,
            source_last_run: tables.source_last_run,
            source_last_success: tables.source_last_success,
            source_run_duration: tables.source_run_duration,
            engine: EngineRecord { started, start, pid, version, starts, heartbeat: None },
            oddities: tables.oddities,
            ..Tables::default()
        }
    }
}
