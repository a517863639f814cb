//! Integration tests: one binary that links once. Each scenario is a file, the harness does their work.
#![allow(clippy::unwrap_used)]

mod harness;

mod browser;
mod checkpoint;
mod content;
mod crash;
mod demo;
mod engine;
mod following;
mod formats;
mod hostile;
mod logrotate;
mod model;
mod prometheus;
mod readme;
mod recordings;
mod renewal;
mod serving;
mod supervisor;
mod textfile;
