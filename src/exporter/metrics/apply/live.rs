//! What is under way and what was refused: runs of Sources, heartbeats of the agent, refusals. Which runs are under way is
//! kept in [`super::super::sessions`], as shells are.

use std::sync::Arc;

use journal_schema::event::{Refused, Run, RunState};

use super::super::Metrics;
use super::super::catalogue::FamilyId;
use super::super::order::Moment;
use super::super::sessions::{OpenSession, Opened, SessionId};
use super::super::tables::ABSENT;

impl Metrics {
    pub(super) fn run(&mut self, run: &Run<'_>, moment: Moment) {
        let id = SessionId::new(&run.run);
        match run.state {
            RunState::Started => {
                self.run_started(run, id, moment.earlier(run.duration_seconds.unwrap_or(0.0)));
            }
            RunState::Ended => self.end_run(id, moment.millisecond()),
        }
    }

    fn run_started(&mut self, run: &Run<'_>, id: SessionId, started: Moment) {
        // Its end was read before, or what the agent did after it.
        if self.runs.is_over(id) || self.order.engine_after(started).is_some() {
            return;
        }
        self.label(&[("name", &run.name), ("trigger", run.trigger.as_str())]);
        let Metrics { tables, index, limits, text, runs, .. } = self;
        let table = &mut tables.source_run_start;
        let at = started.millisecond();
        let known = table.len();
        let series = index.locate(FamilyId::SourceRunStart, table, text, at, limits.room());
        if table.len() > known {
            *table.value_mut(series) = ABSENT;
        }
        if runs.open(OpenSession { id, series, opened: started }) == Opened::New {
            self.show_oldest(series);
        }
        if let Some(oldest) = self.runs.beyond_limit() {
            self.end_run(oldest, at);
        }
    }

    /// The agent started or stopped: runs that were under way are over.
    pub(super) fn end_runs_before(&mut self, moment: Moment) {
        for run in self.runs.opened_before(moment) {
            self.end_run(run, moment.millisecond());
        }
    }

    fn end_run(&mut self, id: SessionId, at: i64) {
        if let Some((run, _)) = self.runs.close(id, at) {
            self.show_oldest(run.series);
        }
    }

    fn show_oldest(&mut self, series: u32) {
        let oldest = self.runs.oldest(series).unwrap_or(ABSENT);
        *self.tables.source_run_start.value_mut(series) = oldest;
    }

    pub(super) fn heartbeat(&mut self, moment: Moment) {
        if self.order.heartbeat.take(moment) {
            self.tables.engine.heartbeat = Some(moment.millisecond());
        }
    }

    pub(super) fn refused(&mut self, refused: &Refused<'_>, at: i64) {
        Arc::make_mut(&mut self.recent).refused(refused, at);
        self.label(&[("action", refused.action.as_str()), ("reason", refused.reason.as_str())]);
        let Metrics { tables, index, limits, text, .. } = self;
        let table = &mut tables.refusals;
        let series = index.locate(FamilyId::Refusals, table, text, at, limits.room());
        let total = table.value_mut(series);
        *total = total.saturating_add(refused.count.unwrap_or(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Limits;
    use journal_schema::decode;

    /// Writer, number, second of the hour, and the event.
    type Given<'a> = (&'a str, u64, u32, &'a str);

    const STARTED: &str =
        r#""event":"run","name":"web","trigger":"pull","run":"1","state":"started","duration_seconds":5"#;
    const ENDED: &str = r#""event":"run","name":"web","trigger":"pull","run":"1","state":"ended""#;
    const ENGINE: &str = r#""event":"engine","state":"started""#;
    const STOPPED: &str = r#""event":"engine","state":"stopped""#;
    const HEARTBEAT: &str = r#""event":"heartbeat""#;

    fn counted_within(limits: Limits, lines: &[Given<'_>]) -> Metrics {
        let mut metrics = Metrics::new(limits);
        for (writer, seq, second, event) in lines {
            let (minute, second) = (second / 60, second % 60);
            let line = format!(
                r#"{{"v":1,"writer":"{writer}","seq":{seq},"time":"2026-01-01T00:{minute:02}:{second:02}.000Z",{event}}}"#
            );
            metrics.apply(&decode(line.as_bytes()).unwrap_or_else(|rejected| panic!("{line}: {rejected}")));
        }
        metrics.settle();
        metrics
    }

    fn counted(lines: &[Given<'_>]) -> Metrics {
        counted_within(Limits::default(), lines)
    }

    /// Labels and second of the hour of each run that is shown.
    fn under_way(metrics: &Metrics) -> Vec<(String, i64)> {
        const HOUR: i64 = 1_767_225_600_000;
        let table = &metrics.tables().source_run_start;
        let sorted = table.sorted();
        let shown = sorted.iter().filter(|series| *table.value(**series) != ABSENT);
        shown.map(|&series| (table.text(series).to_owned(), (*table.value(series) - HOUR) / 1000)).collect()
    }

    fn web(second: i64) -> Vec<(String, i64)> {
        vec![(r#"name="web",trigger="pull""#.to_owned(), second)]
    }

    #[test]
    fn a_run_is_shown_since_its_start_for_as_long_as_it_is_under_way() {
        assert_eq!(under_way(&counted(&[("w", 1, 65, STARTED)])), web(60));
        assert_eq!(under_way(&counted(&[("w", 1, 65, STARTED), ("w", 2, 90, ENDED)])), []);
    }

    #[test]
    fn of_several_runs_with_the_same_labels_the_oldest_counts() {
        let second = STARTED.replace(r#""run":"1""#, r#""run":"2""#);
        let lines = [("w", 1, 65, STARTED), ("w", 2, 75, second.as_str()), ("w", 3, 80, ENDED)];
        assert_eq!(under_way(&counted(&lines[..2])), web(60));
        assert_eq!(under_way(&counted(&lines)), web(70));
        // A repetition changes nothing.
        assert_eq!(under_way(&counted(&[("w", 1, 65, STARTED), ("w", 2, 75, STARTED)])), web(60));
    }

    #[test]
    fn what_was_is_the_same_in_whatever_order_it_is_read() {
        assert_eq!(under_way(&counted(&[("w", 2, 90, ENDED), ("w", 1, 65, STARTED)])), []);
        for ends in [ENGINE, STOPPED] {
            assert_eq!(under_way(&counted(&[("w", 1, 65, STARTED), ("x", 1, 90, ends)])), []);
            assert_eq!(under_way(&counted(&[("x", 1, 90, ends), ("w", 1, 65, STARTED)])), []);
        }
        assert_eq!(under_way(&counted(&[("w", 9, 65, STARTED), ("w", 1, 30, ENGINE)])), web(60));
        // The clock was set back; the numbers say which came first.
        assert_eq!(under_way(&counted(&[("w", 1, 90, ENGINE), ("w", 2, 65, STARTED)])), web(60));
    }

    #[test]
    fn runs_beyond_the_limit_of_series_share_one() {
        let limits = Limits { series: 1, ..Limits::default() };
        let other = |run: &str| {
            STARTED.replace("\"web\"", &format!("\"{run}\"")).replace(r#""1""#, &format!("\"{run}\""))
        };
        let (b, c) = (other("b"), other("c"));
        let ended = ENDED.replace(r#""1""#, r#""b""#);
        let lines = [("w", 1, 65, STARTED), ("w", 2, 75, &b), ("w", 3, 85, &c), ("w", 4, 90, &ended)];
        let overflow = r#"name="__overflow__",trigger="__overflow__""#.to_owned();
        let shown = |second| vec![(overflow.clone(), second), web(60).remove(0)];
        assert_eq!(under_way(&counted_within(limits, &lines[..3])), shown(70));
        assert_eq!(under_way(&counted_within(limits, &lines)), shown(80));
    }

    #[test]
    fn a_heartbeat_is_the_last_one_since_the_start_of_the_agent() {
        let heartbeat =
            |lines: &[Given<'_>]| counted(lines).tables().engine.heartbeat.map(|at| at / 1000 % 3600);
        assert_eq!(heartbeat(&[("w", 1, 1, ENGINE)]), None);
        assert_eq!(
            heartbeat(&[("w", 1, 1, ENGINE), ("w", 3, 120, HEARTBEAT), ("w", 2, 60, HEARTBEAT)]),
            Some(120)
        );
        // A new start may be of an agent that writes none.
        assert_eq!(heartbeat(&[("w", 1, 1, HEARTBEAT), ("x", 1, 60, ENGINE)]), None);
        assert_eq!(heartbeat(&[("x", 1, 60, ENGINE), ("w", 1, 1, HEARTBEAT)]), None);
        assert_eq!(heartbeat(&[("w", 1, 1, HEARTBEAT), ("w", 2, 60, STOPPED)]), Some(1));
    }

    #[test]
    fn a_refusal_counts_as_often_as_its_line_says() {
        let refused =
            r#""event":"refused","action":"push","reason":"not_allowed","name":"x","remote_addr":"::1""#;
        let more = format!("{refused},\"count\":4");
        let metrics = counted(&[("w", 1, 1, refused), ("w", 2, 2, &more)]);
        let table = &metrics.tables().refusals;
        assert_eq!((table.len(), *table.value(0)), (1, 5));
        assert_eq!(table.text(0), r#"action="push",reason="not_allowed""#);
    }
}
