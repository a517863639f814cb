//! The TLS setup that new connections get: it can be replaced while the listener runs, and a bad replacement
//! leaves the last good one in place. Decides nothing about when to look for a new one.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::sign::SingleCertAndKey;

use super::certificate::{ClientAuthorities, Error, Files, Pair, key_digest};
use super::policy::Policy;
use super::warning::Warning;

/// TLS 1.2 and 1.3 with one certificate, HTTP/2 and HTTP/1.1 offered in this order. Clones share one setup.
#[derive(Clone, Debug)]
pub struct Tls {
    current: Arc<RwLock<Current>>,
    files: Arc<Mutex<Files>>,
}

#[derive(Debug)]
struct Current {
    config: Arc<ServerConfig>,
    pair: Pair,
    key: [u8; 32],
    /// The key before this one, for those who saw it last.
    key_before: Option<[u8; 32]>,
    /// Of the pair and of the client authorities.
    digests: ([u8; 32], Option<[u8; 32]>),
    policy: Policy,
}

/// What a reload found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// The files hold what is served already.
    No,
    /// A new pair, or new client authorities, serve from the next connection on.
    Yes,
}

impl Tls {
    /// Serves what the files hold, and remembers them for [`Tls::reload`].
    ///
    /// # Errors
    /// A file is missing or cannot be used, or certificate and key do not belong together.
    pub fn load(files: Files) -> Result<Self, Error> {
        let (pair, clients) = read(&files)?;
        let current = Current::new(&pair, clients.as_ref(), &files.policy)?;
        Ok(Self { current: Arc::new(RwLock::new(current)), files: Arc::new(Mutex::new(files)) })
    }

    /// Reads the files again. Open connections keep what they began with. Blocks for as long as reading a few
    /// small files takes.
    ///
    /// # Errors
    /// As for [`Tls::load`]; what is served stays. A certificate that was replaced before its key is such an
    /// error; it heals at the next reload, when the key has been replaced, too.
    pub fn reload(&self) -> Result<Changed, Error> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.take_up(files)
    }

    /// Serves what these files hold from the next connection on, and remembers them for [`Tls::reload`].
    ///
    /// # Errors
    /// As for [`Tls::load`]; what is served stays, and so do the files that are remembered.
    pub fn take_up(&self, files: Files) -> Result<Changed, Error> {
        let (pair, clients) = read(&files)?;
        let digests = digests(&pair, clients.as_ref());
        let same = { self.read().digests == digests && self.read().policy == files.policy };
        if !same {
            self.set(Current::new(&pair, clients.as_ref(), &files.policy)?);
        }
        *self.files.lock().unwrap_or_else(PoisonError::into_inner) = files;
        Ok(if same { Changed::No } else { Changed::Yes })
    }

    /// When the certificate now served expires, in seconds since 1970.
    pub fn not_after(&self) -> i64 {
        self.read().pair.not_after()
    }

    /// What is wrong, at `now` in seconds since 1970, with the pair that is served.
    pub fn warnings(&self, now: i64) -> Vec<Warning> {
        let place = self.files.lock().unwrap_or_else(PoisonError::into_inner).certificate.place();
        self.read().pair.warnings(Path::new(&place), now)
    }

    /// Digests of the keys by which clients know this listener: the one now served, and the one before it, if it was
    /// another one. See [`super::certificate::key_digest`].
    pub fn key_digests(&self) -> Vec<[u8; 32]> {
        let current = self.read();
        std::iter::once(current.key).chain(current.key_before).collect()
    }

    /// For the next connection.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.read().config)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Current> {
        // Poison cannot hurt: the only write is a single assignment.
        self.current.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, mut next: Current) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        next.key_before = if next.key == current.key { current.key_before } else { Some(current.key) };
        *current = next;
    }
}

impl Current {
    fn new(pair: &Pair, clients: Option<&ClientAuthorities>, policy: &Policy) -> Result<Self, Error> {
        let builder = ServerConfig::builder_with_provider(policy.provider())
            .with_protocol_versions(&policy.versions())
            .map_err(Error::Setup)?;
        let builder = match clients {
            Some(clients) => builder.with_client_cert_verifier(Arc::clone(&clients.verifier)),
            None => builder.with_no_client_auth(),
        };
        let certified = (*pair.certified).clone();
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.ignore_client_order = policy.own_order;
        // The last one is for clients that speak nothing newer, and that would be refused for want of a name in common.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec(), b"http/1.0".to_vec()];
        if !policy.http2 {
            config.alpn_protocols.retain(|protocol| protocol != b"h2");
        }
        let digests = digests(pair, clients);
        let key = key_digest(&pair.certified.cert[0]).unwrap_or_default();
        let (pair, policy) = (pair.clone(), policy.clone());
        Ok(Self { config: Arc::new(config), pair, key, key_before: None, digests, policy })
    }
}

fn read(files: &Files) -> Result<(Pair, Option<ClientAuthorities>), Error> {
    let clients = files.clients.as_ref().map(ClientAuthorities::load).transpose()?;
    Ok((Pair::read(&files.certificate, &files.key)?, clients))
}

fn digests(pair: &Pair, clients: Option<&ClientAuthorities>) -> ([u8; 32], Option<[u8; 32]>) {
    (pair.digest, clients.map(|clients| clients.digest))
}
