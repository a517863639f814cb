//! Monitoring for Etcha as a process of its own: tails the journal of an agent, serves its metrics to Prometheus.
//!
//! # Layout
//!
//! Data goes one way: bytes, lines, events, metrics, exposition, HTTPS.
//!
//! * `journal-schema/`: the contract between agent and exporter, a crate of its own: events, line codec, writer.
//! * [`https`]: TLS listener, certificates, connection limits. Knows no program.
//! * [`documents`]: man pages and completions. Knows no program.
//! * [`engine`]: an agent: runs the Commands of Patterns, pulled, pushed or called for, and opens shells. Knows nothing
//!   of the exporter; the journal is all they share.
//! * [`exporter`]: follows the journal, counts, serves.
//! * `src/bin/`: the programs, a few lines each.

pub mod documents;
pub mod engine;
pub mod exporter;
pub mod https;
