//! The journal contract, version 1: what a line of the journal is, and the code that both sides of it share.
//!
//! An agent appends events with a [`Writer`]; an exporter, a script or a person reads them. The contract in prose is
//! in `README.md` beside this crate, for machines in `journal.v1.schema.json`, which is generated from these types.
//!
//! # Layout
//!
//! Bytes become lines in [`split`], lines become events in [`line`].
//!
//! * [`event`]: the types: envelope, engine, command, source, shell.
//! * [`line`]: the codec, and the reasons why a line cannot be used.
//! * [`split`]: where a line ends; resynchronisation after damage.
//! * [`limits`]: the contract's limits.
//!
//! The crate knows no async, no HTTP and no Prometheus.

pub mod event;
pub mod limits;
pub mod line;
pub mod split;

pub use event::{
    Command, Engine, EngineState, Envelope, Event, Line, Mode, Shell, ShellState, Source, Trigger,
};
pub use line::{Reason, Rejected, decode, encode};
pub use split::{Piece, Place, Splitter};
