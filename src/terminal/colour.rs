//! Whether colours are wanted. Makes none.

use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};

/// Whether what goes to this stream may be coloured: it is a terminal that can, and neither `NO_COLOR` nor `CLICOLOR=0`
/// forbids it; or `CLICOLOR_FORCE` asks for it.
pub fn has_colour(stream: &impl RawStream) -> bool {
    AutoStream::choice(stream) != ColorChoice::Never
}
