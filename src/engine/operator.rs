//! The client side: what a person does with this program on their own terminal. Never uses [`crate::agent`], nor does
//! the agent use it. What they exchange is in [`crate::wire`].
//!
//! * [`push`]: patterns for other engines; [`shell`]: a shell on another one, with [`raw`], the person's own terminal;
//!   [`ask`]: what their requests share.
//! * [`local`]: a run for a person; [`build`]: a signed token.
//! * [`report`]: what was done, in lines for people.

mod ask;
pub(crate) mod build;
pub(crate) mod local;
pub(crate) mod push;
pub(crate) mod raw;
pub(crate) mod report;
pub(crate) mod shell;
