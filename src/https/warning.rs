//! What is wrong with a certificate and its key although they can be served: for the log at start, and for a check of
//! the configuration. Refuses nothing.

use std::fmt;
use std::path::{Path, PathBuf};

use rustix::process::{getegid, getgroups};
use terminal::file::Content;

/// Why a pair needs a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The certificate in this file has expired.
    Expired(PathBuf),
    /// The certificate in this file is not valid yet.
    NotYetValid(PathBuf),
    /// A group that this process does not belong to can read the private key in this file.
    ForeignGroup(PathBuf, u32),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired(path) => write!(
                f,
                "TLS certificate {}: the certificate has expired; clients refuse it until it is replaced",
                path.display()
            ),
            Self::NotYetValid(path) => write!(
                f,
                "TLS certificate {}: the certificate is not valid yet; clients refuse it; check the clock",
                path.display()
            ),
            Self::ForeignGroup(path, group) => write!(
                f,
                "TLS key {}: members of the group {group} can read this private key; `chmod 600` it, or give it to the \
                 group of this process",
                path.display()
            ),
        }
    }
}

/// What `now` means for a certificate that is valid from and until these seconds since 1970.
pub(super) fn of_validity(path: &Path, (from, until): (i64, i64), now: i64) -> Option<Warning> {
    if until < now {
        Some(Warning::Expired(path.to_owned()))
    } else if from > now {
        Some(Warning::NotYetValid(path.to_owned()))
    } else {
        None
    }
}

/// What the mode of a key's file means. The group of root has no members but root's.
pub(super) fn of_group(path: &Path, content: &Content) -> Option<Warning> {
    let group = content.readers?;
    let own = group == 0
        || group == getegid().as_raw()
        || getgroups().is_ok_and(|groups| groups.iter().any(|known| known.as_raw() == group));
    (!own).then(|| Warning::ForeignGroup(path.to_owned(), group))
}
