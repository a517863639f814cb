//! The real VictoriaMetrics, one node: where Prometheus' agents write to.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
};

use super::process::Process;

/// A running VictoriaMetrics.
pub(crate) struct Victoria {
    /// Ended before its directory is removed.
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Victoria {
    pub(crate) fn start(program: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new(program);
        command.arg("-httpListenAddr=127.0.0.1:0");
        command.arg(format!("-storageDataPath={}", directory.path().display()));
        // What was just written is to be seen at once.
        command.args(["-search.latencyOffset=0s", "-search.disableCache", "-memory.allowedBytes=64MB"]);
        let mut process = Process::start(command.stdout(Stdio::null()));
        process.wait_for_log("that it has started", |line| {
            line.contains("started VictoriaMetrics in").then_some(())
        });
        // It logs the port that it was given, which is 0.
        let address = process.listening();
        Self { process, address, _directory: directory }
    }

    /// Starts its evaluator of rules, which reads from it and writes to it. Silent: no rule of `rules` is an alert.
    pub(crate) fn evaluate(&self, vmalert: &Path, rules: &Path) -> Process {
        let mut command = Command::new(vmalert);
        let url = format!("http://{}", self.address);
        command.arg(format!("-datasource.url={url}")).arg(format!("-remoteWrite.url={url}"));
        command.arg(format!("-rule={}", rules.display())).arg("-httpListenAddr=127.0.0.1:0");
        command.args(["-evaluationInterval=1s", "-remoteWrite.flushInterval=1s"]);
        Process::start(command.stdout(Stdio::null()))
    }
}
