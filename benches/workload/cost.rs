//! What an append costs the process that appends, beside `write(2)` itself: processor time and allocations.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use journal_schema::{Options, Sync, Writer};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use crate::labels::{Labels, Random};

/// Appends so many lines, then writes the same bytes again, each line by one bare `write(2)`.
pub(crate) fn measure(path: &Path, lines: u32) -> io::Result<Value> {
    let options = Options { max_bytes: 0, sync: Sync::Never, ..Options::default() };
    let mut writer = Writer::open(path, options).map_err(io::Error::other)?;
    let (mut labels, mut random) = (Labels::default(), Random(1));
    // Making an event is the caller's work: timed apart, taken off.
    let mut made = 0_u64;
    let making = timed(|| {
        for _ in 0..lines {
            let any = random.next();
            std::hint::black_box(labels.event(any % 1000, any));
            made += 1;
        }
        Ok(())
    })?;
    let mut random = Random(1);
    let mut appending = 0;
    let mut failed = Ok(());
    let mut append = || {
        for _ in 0..lines {
            let any = random.next();
            writer.append(&labels.event(any % 1000, any)).map_err(io::Error::other)?;
        }
        Ok(())
    };
    let allocations = allocation_counter::measure(|| match timed(&mut append) {
        Ok(time) => appending = time,
        Err(error) => failed = Err(error),
    });
    failed?;
    writer.close().map_err(io::Error::other)?;

    let bytes = fs::read(path)?;
    let again = path.with_extension("again");
    let mut file: File = OpenOptions::new().create(true).append(true).open(&again)?;
    let writing =
        timed(|| bytes.split_inclusive(|byte| *byte == b'\n').try_for_each(|line| file.write_all(line)))?;
    fs::remove_file(&again)?;
    fs::remove_file(path)?;
    let per_line = |time: u64| time / u64::from(lines);
    Ok(json!({
        "append_ns": per_line(appending.saturating_sub(making)),
        "write_ns": per_line(writing),
        "allocations": allocations.count_total,
        "lines": lines,
    }))
}

/// Processor time of this process while `work` runs, in nanoseconds.
fn timed(work: impl FnOnce() -> io::Result<()>) -> io::Result<u64> {
    let now = || {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
    };
    let before = now();
    work()?;
    Ok(now() - before)
}
