//! The journal contract, version 1: what a line of the journal is, and the code that both sides of it share.
//!
//! An agent appends events with a [`Writer`]; an exporter, a script or a person reads them. The contract in prose is
//! in `README.md` beside this crate, for machines in `journal.v1.schema.json`, which is generated from these types.
//!
//! # Layout
//!
//! Bytes become lines in [`split`], lines become events in [`mod@line`].
//!
//! * [`event`]: the types: the envelope, and an event each.
//! * [`address`]: one spelling for each address.
//! * [`mod@line`]: the codec, and the reasons why a line cannot be used.
//! * [`split`]: where a line ends; resynchronisation after damage.
//! * [`writer`]: appends events to a journal: rotation, durability, several writers at once.
//! * [`reader`]: the lines of one segment, one after the other; [`segments`]: which files a journal consists of.
//! * `compressed`: the content of compressed segments, with the feature of this name.
//! * [`schema`]: the JSON Schema of a line.
//! * [`glance`]: the short way for lines written as the contract writes them.
//! * [`limits`]: the contract's limits.
//!
//! The crate knows no async, no HTTP and no Prometheus.

pub mod address;
#[cfg(feature = "compressed")]
pub mod compressed;
pub mod event;
pub mod glance;
pub mod limits;
pub mod line;
pub mod reader;
pub mod schema;
pub mod segments;
pub mod split;
pub mod writer;

pub use event::{
    Action, Command, Engine, EngineState, Envelope, Event, Heartbeat, Line, Mode, Outcome, Refusal, Refused,
    Run, RunState, Shell, ShellState, Source, Trigger,
};
pub use line::{Reason, Rejected, decode, decode_event, encode};
pub use reader::{Reader, Record};
pub use split::{Piece, SplitState, Splitter};
pub use writer::{Options, Sync, WriteError, Writer};
