//! Whether the agent runs: what its own lines say, and whether the process they name is alive.
//!
//! An agent that is killed writes no last line. If it runs on this host, its process is looked up. Elsewhere, as in
//! another container, no process with its number is ever found, and its lines alone decide. Knows only what it is
//! told about the agent, and asks the system only about that process.

use procfs::process::Process;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use crate::metrics::EngineRecord;

/// How much later than its own first line a process may have started, in milliseconds, to be the one that wrote it.
/// A number that was given to another process in between belongs to a later one.
const START_TOLERANCE: i64 = 10_000;

/// Watches over the process of one agent after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct AgentWatch {
    /// The start that was last looked at: when, and as which process.
    start: Option<(i64, Option<u32>)>,
    /// Whether the process of that start was ever found here.
    found: bool,
}

impl AgentWatch {
    /// Whether the agent runs; `None` before the first line of an agent.
    pub(crate) fn is_up(&mut self, record: &EngineRecord) -> Option<bool> {
        let started = record.started?;
        if self.start != Some((record.start, record.pid)) {
            *self = AgentWatch { start: Some((record.start, record.pid)), found: self.found };
        }
        let Some(pid) = record.pid.filter(|_| started) else { return Some(started) };
        let alive = is_alive(pid, record.start);
        self.found |= alive;
        // Once an agent of this journal was found here, a later one is here, too.
        Some(alive || !self.found)
    }
}

/// Whether process `pid` exists and is old enough to have written a line at `start`, in milliseconds since 1970.
fn is_alive(pid: u32, start: i64) -> bool {
    let Ok(pid) = i32::try_from(pid) else { return false };
    let Some(process) = Pid::from_raw(pid) else { return false };
    match test_kill_process(process) {
        // It belongs to somebody else, as an agent that runs as root does.
        Ok(()) | Err(Errno::PERM) => {}
        Err(_) => return false,
    }
    // Where `/proc` hides the processes of others, existence has to do.
    born(pid).is_none_or(|born| born <= start.saturating_add(START_TOLERANCE))
}

/// When a process was started, in milliseconds since 1970.
fn born(pid: i32) -> Option<i64> {
    let stat = Process::new(pid).ok()?.stat().ok()?;
    let since_boot = i64::try_from(stat.starttime * 1000 / procfs::ticks_per_second()).ok()?;
    let boot = i64::try_from(procfs::boot_time_secs().ok()?).ok()?;
    Some(boot * 1000 + since_boot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn started(pid: u32, start: i64) -> EngineRecord {
        EngineRecord { started: Some(true), start, pid: Some(pid), ..EngineRecord::default() }
    }

    fn now() -> i64 {
        jiff::Timestamp::now().as_millisecond()
    }

    #[test]
    fn an_agent_is_up_while_its_process_lives_and_down_when_it_was_killed() {
        let mut watch = AgentWatch::default();
        assert_eq!(watch.is_up(&EngineRecord::default()), None);
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let record = started(child.id(), now());
        assert_eq!(watch.is_up(&record), Some(true));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(watch.is_up(&record), Some(false));
    }

    #[test]
    fn an_agent_that_stopped_in_good_order_is_down() {
        let record = EngineRecord { started: Some(false), pid: Some(1), ..EngineRecord::default() };
        assert_eq!(AgentWatch::default().is_up(&record), Some(false));
    }

    #[test]
    fn an_agent_whose_process_was_never_found_here_is_what_its_lines_say() {
        // Larger than any process number that Linux gives.
        assert_eq!(AgentWatch::default().is_up(&started(i32::MAX as u32, now())), Some(true));
    }

    #[test]
    fn a_process_that_is_younger_than_the_line_is_another_one() {
        let me = std::process::id();
        let mut watch = AgentWatch::default();
        assert_eq!(watch.is_up(&started(me, now())), Some(true));
        assert_eq!(watch.is_up(&started(me, 1_000_000_000_000)), Some(false));
    }
}
