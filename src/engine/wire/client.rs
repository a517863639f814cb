//! The client's side of HTTPS: which certificates are trusted, and a connection that requests go over. What is asked, and
//! what an answer means, is the caller's matter.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use https::certificate::MAX_FILE_BYTES;
use hyper::body::Body;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{self, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// Which certificates are trusted (`httpClient`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trust {
    /// A PEM file with certificates that are trusted.
    pub ca_path: Option<PathBuf>,
    /// Those of the system are not.
    pub no_system: bool,
    /// Any certificate will do.
    pub skip_verify: bool,
}

/// Who is to be spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Server<'a> {
    /// Name or address; an IPv6 one may be in brackets.
    pub host: &'a str,
    /// Port.
    pub port: u16,
    /// Whether over TLS.
    pub tls: bool,
    /// Any certificate will do for this one.
    pub skip_verify: bool,
}

/// Connects, and knows which certificates to trust.
#[derive(Default)]
pub(crate) struct Client {
    trust: Trust,
    /// Certificates are read when they are first needed.
    verifying: OnceLock<Result<Arc<ClientConfig>, Arc<TrustError>>>,
}

/// A connection, and who is at its other end.
#[derive(Debug)]
pub(crate) struct Connected<B> {
    /// Sends requests.
    pub sender: SendRequest<B>,
    /// The digest of the key that the other side has shown, over TLS.
    pub engine: Option<[u8; 32]>,
}

impl Client {
    /// Trusts what `trust` says.
    pub(crate) fn new(trust: Trust) -> Client {
        Client { trust, verifying: OnceLock::new() }
    }

    /// Trusts `roots` and nothing else.
    #[cfg(test)]
    pub(crate) fn trusting(roots: RootCertStore) -> Client {
        let client = Client::default();
        client
            .verifying
            .get_or_init(|| Ok(Arc::new(builder().with_root_certificates(roots).with_no_client_auth())));
        client
    }

    /// A connection for requests in HTTP/1.1. It ends with the runtime at the latest, or when what is returned is dropped
    /// and no answer is under way.
    ///
    /// # Errors
    ///
    /// No server answers there, or none that can be trusted.
    pub(crate) async fn connect<B>(&self, server: &Server<'_>) -> Result<SendRequest<B>, ConnectError>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.meet(server).await.map(|connected| connected.sender)
    }

    /// The same, and says who is at the other end.
    ///
    /// # Errors
    ///
    /// As for [`Client::connect`].
    pub(crate) async fn meet<B>(&self, server: &Server<'_>) -> Result<Connected<B>, ConnectError>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let host = server.host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, server.port)).await.map_err(ConnectError::Tcp)?;
        // Requests are small and whole: waiting for more to send with them only costs time.
        let _ = stream.set_nodelay(true);
        if !server.tls {
            return handshake(stream).await.map(|sender| Connected { sender, engine: None });
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|_| ConnectError::Name)?;
        let connector = TlsConnector::from(self.tls(server.skip_verify)?);
        let stream = connector.connect(name, stream).await.map_err(ConnectError::Tls)?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let engine = shown.and_then(https::certificate::key_digest);
        handshake(stream).await.map(|sender| Connected { sender, engine })
    }

    fn tls(&self, skip_verify: bool) -> Result<Arc<ClientConfig>, Arc<TrustError>> {
        if skip_verify || self.trust.skip_verify {
            let verifier = Arc::new(Unverified(Arc::new(ring::default_provider())));
            let config = builder().dangerous().with_custom_certificate_verifier(verifier);
            return Ok(Arc::new(config.with_no_client_auth()));
        }
        self.verifying.get_or_init(|| self.trust.read().map_err(Arc::new)).clone()
    }
}

/// Why connecting failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// There is none on the network.
    #[error("connecting: {0}")]
    Tcp(#[source] io::Error),
    /// What was named as a host cannot be part of a certificate.
    #[error("no name for a certificate")]
    Name,
    /// It is not known which certificates to trust.
    #[error(transparent)]
    Trust(#[from] Arc<TrustError>),
    /// The other side speaks no TLS, or is not trusted.
    #[error("TLS: {0}")]
    Tls(#[source] io::Error),
    /// The other side speaks no HTTP.
    #[error("HTTP: {0}")]
    Http(#[source] hyper::Error),
}

/// Why the file with certificates to trust cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrustError {
    /// It cannot be read.
    #[error("tlsCAPath {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is no PEM.
    #[error("tlsCAPath {}: {source}", path.display())]
    Pem {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: pem::Error,
    },
    /// A certificate in it cannot be trusted.
    #[error("tlsCAPath {}: {source}", path.display())]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
    /// It holds none.
    #[error("tlsCAPath {}: no certificate in it; give a PEM file (BEGIN CERTIFICATE)", path.display())]
    Empty {
        /// Which file.
        path: PathBuf,
    },
}

impl Trust {
    /// Reads the certificates as the first connection does.
    ///
    /// # Errors
    ///
    /// They cannot be used.
    pub(crate) fn check(&self) -> Result<(), TrustError> {
        self.read().map(drop)
    }

    fn read(&self) -> Result<Arc<ClientConfig>, TrustError> {
        let mut roots = RootCertStore::empty();
        if !self.no_system {
            let found = rustls_native_certs::load_native_certs();
            for error in &found.errors {
                tracing::warn!("certificates of the system: {error}");
            }
            roots.add_parsable_certificates(found.certs);
        }
        if let Some(path) = &self.ca_path {
            add(&mut roots, path)?;
        }
        Ok(Arc::new(builder().with_root_certificates(roots).with_no_client_auth()))
    }
}

/// Adds the certificates in the PEM file at `path`, at least one.
fn add(roots: &mut RootCertStore, path: &Path) -> Result<(), TrustError> {
    // What is no regular file could keep the reader waiting for ever.
    let text = terminal::file::regular(path, MAX_FILE_BYTES)
        .map_err(|source| TrustError::Read { path: path.to_owned(), source })?
        .bytes;
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|source| TrustError::Pem { path: path.to_owned(), source })?;
        roots.add(certificate).map_err(|source| TrustError::Unusable { path: path.to_owned(), source })?;
    }
    if roots.len() == before {
        return Err(TrustError::Empty { path: path.to_owned() });
    }
    Ok(())
}

async fn handshake<B>(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<SendRequest<B>, ConnectError>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(ConnectError::Http)?;
    tokio::spawn(connection);
    Ok(sender)
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    #[expect(clippy::expect_used, reason = "the provider is fixed and has suites for both versions")]
    builder
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .expect("both are covered")
}

/// Takes any certificate, where that is asked for: tokens are signed all the same. Signatures of the
/// handshake are still checked.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
