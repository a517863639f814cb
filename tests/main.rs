//! Integration tests: one binary that links once. Each scenario is a file, the harness does their work.
#![allow(clippy::unwrap_used)]

mod engine;
mod harness;

mod prometheus;
mod recordings;
mod serving;
