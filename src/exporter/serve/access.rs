//! Who may read, as of now: keys and users can be replaced while requests are answered. Judges nothing.

use std::sync::{Arc, PoisonError, RwLock};

use super::keys::Keys;
use super::users::Users;

/// Who may read the metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Keys; each is enough.
    pub keys: Keys,
    /// Users; each may read with its password.
    pub users: Users,
    /// Whether a key in the query is refused, right or wrong.
    pub refuse_query_keys: bool,
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
    pub(crate) fn current(&self) -> Arc<Access> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Requests from now on are judged by `access`.
    pub(crate) fn replace(&self, access: Access) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(access);
    }
}
