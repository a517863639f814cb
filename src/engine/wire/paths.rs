//! Paths of requests to an engine. The name of a Source is one segment, percent-encoded where it has to be.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What the path of a push begins with.
pub(crate) const PUSH: &str = "/etcha/v1/push/";

/// What the path of a shell begins with.
pub(crate) const SHELL: &str = "/etcha/v1/shell/";

/// What has to be encoded in a segment of a path, and a little more.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The name of a Source as a segment of a path.
pub(crate) fn segment(source: &str) -> String {
    utf8_percent_encode(source, ENCODED).to_string()
}
