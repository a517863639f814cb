//! Integration tests: one binary that links once. Each scenario is a file, the harness does their work.
#![allow(clippy::unwrap_used)]

mod harness;

mod alerts;
mod browser;
mod checkpoint;
mod content;
mod copies;
mod crash;
mod damage;
mod dashboards;
mod demo;
mod docs;
mod endings;
mod engine;
mod fleets;
mod following;
mod formats;
mod hostile;
mod journal;
mod kubernetes;
mod logrotate;
mod mixin;
mod model;
mod packaging;
mod programs;
mod prometheus;
mod readers;
mod recordings;
mod releases;
mod renewal;
mod rules;
mod serving;
mod supervisor;
mod textfile;
mod tools;
mod walls;
mod web_config;
