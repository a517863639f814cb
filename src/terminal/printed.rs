//! Standard output for a reader that may stop early, as `head` does.

use std::io::{self, Write};

/// Standard output. If its reader has left, writing succeeds and the output is dropped.
#[derive(Clone, Copy, Debug)]
pub struct Printed;

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        unless_left(io::stdout().write(bytes), bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        unless_left(io::stdout().flush(), ())
    }
}

fn unless_left<T>(result: io::Result<T>, written: T) -> io::Result<T> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(written),
        other => other,
    }
}
