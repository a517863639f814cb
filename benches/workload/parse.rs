//! What JSON itself costs: each line by `serde_json` into fields that borrow from it. Nothing is counted, looked up
//! or kept.

use std::borrow::Cow;
use std::fs::File;
use std::hint::black_box;
use std::io::{self, Read as _};
use std::path::Path;

use serde::Deserialize;

/// The members of a command line.
#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "parsed and dropped: that is what is measured")]
struct Fields<'a> {
    v: u64,
    #[serde(borrow)]
    writer: Cow<'a, str>,
    seq: u64,
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    mode: Cow<'a, str>,
    error: bool,
    #[serde(borrow, default)]
    parent_id: Cow<'a, str>,
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow, default)]
    public_key: Cow<'a, str>,
    #[serde(borrow, default)]
    remote_addr: Cow<'a, str>,
    duration_seconds: Option<f64>,
}

/// Parses all lines of a file and says how many there are.
pub(crate) fn all(path: &Path) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 256 * 1024];
    let (mut held, mut lines) = (0, 0);
    loop {
        let read = file.read(&mut buffer[held..])?;
        if read == 0 {
            return Ok(lines);
        }
        held += read;
        let mut begin = 0;
        for end in memchr::memchr_iter(b'\n', &buffer[..held]) {
            black_box(serde_json::from_slice::<Fields<'_>>(&buffer[begin..end])?);
            (begin, lines) = (end + 1, lines + 1);
        }
        buffer.copy_within(begin..held, 0);
        held -= begin;
    }
}
