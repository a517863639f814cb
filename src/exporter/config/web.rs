//! The web configuration file that Prometheus' exporters share: what stands in it and has a meaning here. The rest is
//! an error: an operator who wrote it there relies on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use settings::Problem;

use super::{ClientAuth, TlsFiles, TlsVersion, text};
use crate::serve::Users;

/// Longest file in bytes.
const MAX_FILE_BYTES: u64 = 256 * 1024;

/// What the file means.
#[derive(Debug, Default)]
pub(super) struct Web {
    pub(super) tls: Option<TlsFiles>,
    pub(super) client_auth: Option<ClientAuth>,
    pub(super) least_version: TlsVersion,
    pub(super) users: Users,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    tls_server_config: Option<TlsServer>,
    http_server_config: HttpServer,
    basic_auth_users: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsServer {
    cert_file: PathBuf,
    key_file: PathBuf,
    #[serde(default)]
    client_auth_type: String,
    client_ca_file: Option<PathBuf>,
    #[serde(default)]
    min_version: String,
    #[serde(default)]
    max_version: String,
    /// Has had no effect for years, there as here.
    #[serde(default, rename = "prefer_server_cipher_suites")]
    _prefer_server_cipher_suites: bool,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct HttpServer {
    http2: bool,
}

impl Default for HttpServer {
    fn default() -> Self {
        Self { http2: true }
    }
}

/// Reads the file at `path`, which `setting` names. Relative paths in it are relative to its directory.
///
/// # Errors
///
/// Everything that is wrong with it. No hash is told.
pub(super) fn read(setting: &str, path: &Path) -> Result<Web, Vec<Problem>> {
    let place = format!("{setting} {}", path.display());
    let problem = |what: String| Problem::new(place.clone(), what);
    let text = text::read(path, MAX_FILE_BYTES).map_err(|what| vec![problem(what)])?.text;
    // The lines below the first show a piece of the file, which may be a hash.
    let written: Written = serde_saphyr::from_str(&text).map_err(|error| {
        let message = error.to_string();
        let first = message.lines().next().unwrap_or_default();
        vec![problem(first.trim_start_matches("error: ").to_owned())]
    })?;
    let mut problems = Vec::new();
    let mut web = Web::default();
    if !written.http_server_config.http2 {
        problems.push(problem("http_server_config.http2: HTTP/2 cannot be turned off here".to_owned()));
    }
    if let Some(tls) = written.tls_server_config {
        let home = path.parent().unwrap_or(Path::new(""));
        web.tls = Some(TlsFiles { certificate: home.join(&tls.cert_file), key: home.join(&tls.key_file) });
        let authorities = tls.client_ca_file.as_ref().map(|file| home.join(file));
        match client_auth(&tls.client_auth_type, authorities) {
            Ok(client_auth) => web.client_auth = client_auth,
            Err(what) => problems.push(problem(what)),
        }
        match (tls.min_version.as_str(), tls.max_version.as_str()) {
            ("" | "TLS12", "" | "TLS13") => {}
            ("TLS13", "" | "TLS13") => web.least_version = TlsVersion::V1_3,
            _ => problems.push(problem(
                "min_version is TLS12 or TLS13 here, max_version TLS13: what is older is broken".to_owned(),
            )),
        }
    }
    for (user, hash) in written.basic_auth_users {
        if let Err(what) = web.users.add(&user, &hash) {
            problems.push(problem(format!("basic_auth_users: {user:?}: {what}")));
        }
    }
    if problems.is_empty() { Ok(web) } else { Err(problems) }
}

fn client_auth(kind: &str, authorities: Option<PathBuf>) -> Result<Option<ClientAuth>, String> {
    let required = match kind {
        "" | "NoClientCert" if authorities.is_none() => return Ok(None),
        "" | "NoClientCert" => {
            return Err("client_ca_file needs client_auth_type RequireAndVerifyClientCert".to_owned());
        }
        "RequireAndVerifyClientCert" => true,
        "VerifyClientCertIfGiven" => false,
        _ => {
            return Err("client_auth_type is NoClientCert, VerifyClientCertIfGiven or \
                        RequireAndVerifyClientCert here: a certificate that nobody verifies says nothing"
                .to_owned());
        }
    };
    match authorities {
        Some(authorities) => Ok(Some(ClientAuth { authorities, required })),
        None => Err(format!("client_auth_type {kind} needs client_ca_file")),
    }
}
