//! What changes while the process runs: keys, users, certificates, the log level. They are read again when one of
//! their files changes and at each SIGHUP; what cannot be used changes nothing, and is told and shown as a metric.
//!
//! Files are checked for changes every two seconds, which is cheap and works on every file system and through every
//! symbolic link. A notification makes the next check come sooner. This runs on its own thread, because reading
//! files may block.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use prometheus::{IntGauge, IntGaugeVec, Opts, Registry};

use crate::config::Config;
use crate::log;
use crate::publish::systemd::Reloads;
use crate::serve::Gate;
use crate::watch::Watch;
use https::certificate::{self, ClientAuthorities, Files};
use https::names::Names;
use https::self_signed::{self, Ensured, SelfSigned};
use https::tls::{Changed, Tls};
use settings::Problem;

/// How often files are looked at where nobody tells. A new key or certificate is in use within two of these.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// After a change that is told, this long nothing more may be told before files are looked at: a certificate and its key
/// are commonly written one after the other, and the first without the second is an error.
const QUIET: Duration = Duration::from_millis(250);

/// How often everything is read again, changed or not: renews the own certificate, and finds a change that the times
/// of files did not tell.
const READ_INTERVAL: Duration = Duration::from_secs(60);

/// What renewal says about itself.
#[derive(Clone, Debug)]
pub(crate) struct Health {
    success: IntGaugeVec,
    keys: IntGauge,
}

impl Health {
    /// Makes the metrics and registers them.
    ///
    /// # Errors
    ///
    /// When `registry` has metrics of these names already.
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let success = IntGaugeVec::new(
            Opts::new(
                "etcha_exporter_reload_success",
                "Whether the last reload succeeded. With 0, the last good version stays in use.",
            ),
            &["what"],
        )?;
        let keys = IntGauge::new(
            "etcha_exporter_keys",
            "Number of keys and users that grant access to the metrics.",
        )?;
        registry.register(Box::new(success.clone()))?;
        registry.register(Box::new(keys.clone()))?;
        for what in ["certificate", "configuration"] {
            success.with_label_values(&[what]).set(1);
        }
        Ok(Self { success, keys })
    }

    fn set(&self, what: &str, success: bool) {
        self.success.with_label_values(&[what]).set(i64::from(success));
    }
}

/// The files that a configuration means; made here first, if it names none. With the names of this host that are not in
/// a certificate that was made here.
///
/// # Errors
///
/// If the self-signed certificate cannot be made or renewed.
pub(crate) fn certificate_files(config: &Config) -> Result<(Files, Vec<String>), self_signed::Error> {
    let mut missing = Vec::new();
    let files = match &config.tls {
        Some(tls) => Files::new(tls.certificate.clone(), tls.key.clone()),
        None => {
            let own = SelfSigned::new(&config.state_dir);
            match own.ensure(&Names::of_host(&[]), SystemTime::now())? {
                Ensured::Kept { missing: names } => missing = names,
                Ensured::Made { .. } => {
                    let file = own.certificate();
                    tracing::info!(file = %file.display(), "made a certificate; clients verify with a copy of this file");
                }
            }
            own.files()
        }
    };
    let files = Files { clients: config.clients.clone(), policy: config.policy.clone(), ..files };
    Ok((files, missing))
}

/// Reads the certificates of a configuration as a start does, without making one.
///
/// # Errors
///
/// If a start would fail for one of them.
pub(crate) fn check(config: &Config) -> Result<(), certificate::Error> {
    if let Some(clients) = &config.clients {
        ClientAuthorities::load(clients)?;
    }
    let Some(tls) = config.tls.as_ref().filter(|_| !config.listen.is_empty()) else { return Ok(()) };
    let files = Files::new(tls.certificate.clone(), tls.key.clone());
    load(Files { clients: config.clients.clone(), policy: config.policy.clone(), ..files }).map(drop)
}

/// Loads what is served first. A certificate that has expired is still served: that tells a person more than a closed
/// port.
///
/// # Errors
///
/// If a file cannot be used.
pub(super) fn load(files: Files) -> Result<Tls, certificate::Error> {
    let tls = Tls::load(files)?;
    warn_of(&tls);
    Ok(tls)
}

fn warn_of(tls: &Tls) {
    for warning in tls.warnings(Timestamp::now().as_second()) {
        tracing::warn!("{warning}");
    }
}

/// The file with which clients verify what a configuration serves.
pub(crate) fn authority(config: &Config) -> PathBuf {
    match &config.tls {
        Some(tls) => tls.certificate.place(),
        None => SelfSigned::new(&config.state_dir).certificate(),
    }
}

/// Looks after what can change.
pub(crate) struct Renewal {
    /// As the process started: what else differs takes a restart.
    started: Config,
    /// The last one that could be used.
    config: Config,
    gate: Gate,
    /// `None` if nothing listens.
    tls: Option<Tls>,
    health: Health,
    reloads: Reloads,
    stamps: Vec<Stamp>,
    /// When everything was read last.
    read: Instant,
    /// Whether the next look reads whatever the stamps say: what was read may have been half written.
    again: bool,
    /// What was said of each, so that it is said once.
    told: Told,
}

/// The running thread.
pub(crate) struct Renewing {
    asker: Asker,
    thread: JoinHandle<()>,
}

impl Renewing {
    /// What to ask it with.
    pub(crate) fn asker(&self) -> Asker {
        self.asker.clone()
    }

    /// Ends it, after a look that is under way; on a file system that hangs that takes as long.
    pub(crate) fn stop(self) {
        self.asker.order(&self.asker.stop);
        if self.thread.join().is_err() {
            tracing::error!("the renewal of keys and certificates ended with a panic");
        }
    }
}

/// Asks for a look.
#[derive(Clone)]
pub(crate) struct Asker {
    asked: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    wake: SyncSender<()>,
}

impl Asker {
    /// Has everything read again, changed or not. Whoever asks before that is answered with it.
    pub(crate) fn ask(&self) {
        self.order(&self.asked);
    }

    fn order(&self, what: &AtomicBool) {
        what.store(true, Ordering::Relaxed);
        // If it is woken already, it finds the order then.
        let _ = self.wake.try_send(());
    }

    fn is_any(&self) -> bool {
        self.asked.load(Ordering::Relaxed) || self.stop.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    configuration: String,
    certificate: String,
    /// Names that are not in the certificate.
    missing: Vec<String>,
    restart: Vec<&'static str>,
}

/// What tells two versions of a file apart, or that it cannot be seen.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

impl Renewal {
    /// Looks after what began with `config`.
    pub(crate) fn new(
        config: &Config,
        gate: Gate,
        tls: Option<Tls>,
        health: Health,
        reloads: Reloads,
    ) -> Self {
        let config = config.clone();
        let keys = config.access.keys.len() + config.access.users.len();
        health.keys.set(i64::try_from(keys).unwrap_or(i64::MAX));
        Self {
            started: config.clone(),
            // None yet: the first look reads all again, because a file may have changed since the start read it.
            stamps: Vec::new(),
            config,
            gate,
            tls,
            health,
            reloads,
            read: Instant::now(),
            // What was read at start may have changed before its stamps were taken.
            again: true,
            told: Told::default(),
        }
    }

    /// Starts to look now and then, when a change is told, and when asked.
    ///
    /// # Errors
    ///
    /// If the operating system has no thread to give.
    pub(crate) fn start(self) -> io::Result<Renewing> {
        let (wake, woken) = sync_channel(1);
        let asker = Asker { asked: Arc::default(), stop: Arc::default(), wake };
        let orders = asker.clone();
        let thread =
            thread::Builder::new().name("renewal".to_owned()).spawn(move || self.run(&orders, &woken))?;
        Ok(Renewing { asker, thread })
    }

    fn run(mut self, orders: &Asker, woken: &Receiver<()>) {
        let mut watch = Watch::new(self.config.files.clone(), orders.wake.clone());
        loop {
            if woken.recv_timeout(LOOK_INTERVAL).is_ok() {
                let told = Instant::now();
                while !orders.is_any() && told.elapsed() < LOOK_INTERVAL && woken.recv_timeout(QUIET).is_ok()
                {
                }
            }
            if orders.stop.load(Ordering::Relaxed) {
                return;
            }
            if orders.asked.swap(false, Ordering::Relaxed) {
                tracing::info!("reading the configuration, keys and certificates again");
                let reloads = self.reloads.clone();
                reloads.around(|| self.look(true));
            } else {
                self.look(false);
            }
            if watch.files() == self.config.files {
                watch.refresh();
            } else {
                watch = Watch::new(self.config.files.clone(), orders.wake.clone());
            }
        }
    }

    fn look(&mut self, asked: bool) {
        if asked {
            // Whoever asks is told once more what is wrong.
            self.told = Told::default();
        }
        let stamps = stamps(&self.config.files);
        let changed = stamps != self.stamps;
        if !(asked || changed || self.again || self.read.elapsed() >= READ_INTERVAL) {
            return;
        }
        self.stamps = stamps;
        self.read = Instant::now();
        self.again = changed;
        self.configuration();
        self.certificate();
    }

    fn configuration(&mut self) {
        let Some(reread) = &self.config.reread else { return };
        let config = reread.config().and_then(|config| {
            let opens = requires_certificates(&self.config) && !requires_certificates(&config);
            if opens { Err(vec![Problem::new("", OPENS)]) } else { Ok(config) }
        });
        match config {
            Ok(config) => {
                self.health.set("configuration", true);
                self.told.configuration.clear();
                self.take(*config);
            }
            Err(problems) => {
                self.health.set("configuration", false);
                self.again = true;
                let text: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
                if text != self.told.configuration {
                    for problem in &problems {
                        tracing::error!(%problem, "the configuration cannot be used; the last good one stays in use");
                    }
                    self.told.configuration = text;
                }
            }
        }
    }

    fn take(&mut self, mut config: Config) {
        // A connection that was open before needed no certificate. So this can end while the process runs, not begin.
        config.access.certificate_suffices &= self.config.access.certificate_suffices;
        if config.access != self.config.access {
            let (keys, users) = (config.access.keys.len(), config.access.users.len());
            tracing::info!(keys, users, "the keys have changed");
            self.health.keys.set(i64::try_from(keys + users).unwrap_or(i64::MAX));
            self.gate.replace(config.access.clone());
        }
        if config.log.level != self.config.log.level {
            log::set_level(config.log.level);
            tracing::info!("the log level has changed");
        }
        for warning in config.warnings.iter().filter(|warning| !self.config.warnings.contains(warning)) {
            tracing::warn!("{warning}");
        }
        let restart = self.started.needs_restart(&config);
        if restart != self.told.restart && !restart.is_empty() {
            tracing::warn!(
                what = restart.join(", "),
                "changed in the configuration, takes effect with a restart"
            );
        }
        self.told.restart = restart;
        if config.files != self.config.files {
            self.again = true;
        }
        self.config = config;
    }

    fn certificate(&mut self) {
        let Some(tls) = &self.tls else { return };
        match renewed(tls, &self.config) {
            Ok((changed, missing)) => {
                self.health.set("certificate", true);
                self.told.certificate.clear();
                if missing != self.told.missing && !missing.is_empty() {
                    tracing::info!(
                        names = missing.join(", "),
                        "not in the certificate; remove it to have one made with all names of this host"
                    );
                }
                self.told.missing = missing;
                if changed == Changed::Yes {
                    tracing::info!("new connections get the new certificate");
                    warn_of(tls);
                }
            }
            Err(error) => {
                self.health.set("certificate", false);
                self.again = true;
                let said = error.to_string();
                if said != self.told.certificate {
                    tracing::error!(%error, "the certificate cannot be used; the present one is served");
                    self.told.certificate = said;
                }
            }
        }
    }
}

/// What is said of a configuration that would let in clients without a certificate. A file that is being written may be read
/// when it is empty, or ends early.
const OPENS: &str = "client certificates are no longer required; if that is meant, restart the exporter, which then goes by it";

fn requires_certificates(config: &Config) -> bool {
    config.clients.as_ref().is_some_and(|clients| clients.required)
}

/// Why a certificate was not renewed.
#[derive(Debug, thiserror::Error)]
enum RenewalError {
    /// Its files cannot be read.
    #[error(transparent)]
    Unusable(#[from] certificate::Error),
    /// None can be made.
    #[error(transparent)]
    SelfSigned(#[from] self_signed::Error),
}

fn renewed(tls: &Tls, config: &Config) -> Result<(Changed, Vec<String>), RenewalError> {
    let (files, missing) = certificate_files(config)?;
    Ok((tls.take_up(files)?, missing))
}

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    files.iter().map(|file| stamp(file)).collect()
}

fn stamp(file: &Path) -> Stamp {
    let about = fs::metadata(file).ok()?;
    Some((about.dev(), about.ino(), about.len(), about.mtime(), about.mtime_nsec()))
}
