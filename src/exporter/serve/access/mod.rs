//! Who may read the metrics: keys, and users with passwords.
//!
//! # Layout
//!
//! * `keys`, `users`: the secrets as they are kept, and the comparison with them.
//! * `credentials`: what a request offers, and whether that is one of the keys.
//! * `passwords`: checks users' passwords, which is slow on purpose.
//! * `admission`: lets a request in, or answers it instead.
//! * this file: all of that as of now, replaceable while requests are answered.

mod admission;
mod credentials;
mod keys;
mod passwords;
mod users;

use std::sync::{Arc, PoisonError, RwLock};

pub(super) use admission::{Audience, admit};
pub(super) use credentials::Refusal;
pub(crate) use keys::Keys;
pub(super) use passwords::Passwords;
pub(crate) use users::{UserError, Users};

/// Who may read the metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Keys; each is enough.
    pub keys: Keys,
    /// Users; each may read with its password.
    pub users: Users,
    /// Whether a key in the query is refused, right or wrong.
    pub refuse_query_keys: bool,
    /// Whether no key is needed, because every connection has shown a certificate that was verified.
    pub certificate_suffices: bool,
}

/// The one place where the present [`Access`] is. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate {
    current: Arc<RwLock<Arc<Access>>>,
}

impl Gate {
    /// Begins with `access`.
    pub(crate) fn new(access: Access) -> Self {
        Self { current: Arc::new(RwLock::new(Arc::new(access))) }
    }

    /// Who may read now.
    pub(super) fn current(&self) -> Arc<Access> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Requests from now on are judged by `access`.
    pub(crate) fn replace(&self, access: Access) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(access);
    }
}
