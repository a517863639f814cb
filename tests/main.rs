//! Integration tests: one binary that links once. Each scenario is a file, the harness does their work.
#![allow(clippy::unwrap_used)]

mod harness;

mod browser;
mod formats;
mod hostile;
mod prometheus;
mod recordings;
mod renewal;
mod serving;
mod textfile;
