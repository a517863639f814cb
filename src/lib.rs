//! Monitoring for Etcha as a process of its own: tails the journal of an agent, serves its metrics to Prometheus.
//!
//! This package holds the programs, a few lines each in `src/bin/`, their integration tests and their packaging. What
//! they do is in crates, so that the compiler keeps apart what may not know each other.
//!
//! # Layout
//!
//! Data goes one way: bytes, lines, events, metrics, exposition, HTTPS.
//!
//! * `journal-schema/`: the contract between agent and exporter: events, line codec, writer, reader. Knows no async, no
//!   HTTP, no Prometheus and no command line.
//! * `src/terminal/`: the edge between a program and a person. Knows no program.
//! * `src/settings/`: settings of a program, each defined once: flag, variable, key, default, help. Knows no program.
//! * `src/https/`: TLS listener, certificates, connection limits. Knows no program.
//! * `src/journal/`: the tool `etcha-journal`.
//! * `src/exporter/`: follows the journal, counts, serves.
//! * `src/engine/`: an agent: runs the Commands of Patterns, pulled, pushed or called for, and opens shells. Knows
//!   nothing of the exporter; the journal is all they share. A feature of this package, on unless it is left out.
