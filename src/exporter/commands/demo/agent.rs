//! The agent of the demonstration: the real `etcha-engine` beside this program, with a few Sources that keep doing
//! something. All that the two share is the journal; this file writes a configuration and starts a process.

use std::fs::File;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use serde_json::{Value, json};

use super::DemoError;

/// The name of the program.
const PROGRAM: &str = "etcha-engine";

/// How long the agent has to end by itself: longer than it gives its scripts and shells.
const END_TIME: Duration = Duration::from_secs(15);

/// Pause between two looks whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A signed Pattern that the Source `web` pulls. Its check finds something to do every few seconds.
const RELEASE: &str = r#"{
  run: [
    { id: 'site', commands: [
      { id: 'content', check: 'find content -newermt "-12 seconds" | grep -q .', change: 'date > content', onChange: 'etcha:deployed' },
      { id: 'permissions', check: 'true', change: 'false' },
    ] },
  ],
}
"#;

/// A running agent. Dropping it ends it.
pub(super) struct Agent {
    program: PathBuf,
    directory: PathBuf,
    address: SocketAddr,
    child: Child,
}

impl Agent {
    /// Starts the agent in `directory`, writing to `journal`.
    ///
    /// # Errors
    ///
    /// The program is not there, or does not do what it is asked to.
    pub(super) fn start(directory: &Path, journal: &Path) -> Result<Agent, DemoError> {
        let program = beside(&std::env::current_exe().map_err(DemoError::Directory)?)?;
        let (directory, address) = (directory.to_owned(), free_address().map_err(DemoError::Directory)?);
        let keys = run(command(&program, &directory).args(["generate-keys", "demo"]))?;
        let keys: Value = serde_json::from_slice(&keys).map_err(|error| failed(&error))?;
        let write = |name: &str, text: String| {
            // Readable by its owner alone, as the engine asks of files with a key.
            let file = File::options().write(true).create_new(true).mode(0o600).open(directory.join(name));
            file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(DemoError::Directory)
        };
        write("release.jsonnet", RELEASE.to_owned())?;
        write("operator.json", operator(&directory, &keys, address).to_string())?;
        write("engine.json", engine(&program, journal, &keys, address).to_string())?;
        let build = ["-c", "operator.json", "build", "release.jsonnet", "release.jwt"];
        run(command(&program, &directory).args(build))?;
        let log = File::create(directory.join("engine.log")).map_err(DemoError::Directory)?;
        let mut command = command(&program, &directory);
        // A group of its own: Ctrl-C is for this program, which then ends the agent in order.
        command.args(["-c", "engine.json", "run"]).stdout(Stdio::null()).stderr(log).process_group(0);
        let child = command.spawn().map_err(|error| failed(&error))?;
        let agent = Agent { program, directory, address, child };
        watch(&agent.child, agent.directory.join("engine.log"))?;
        Ok(agent)
    }

    /// What a person can do with it, as lines for the welcome.
    pub(super) fn welcome(&self) -> String {
        let (program, directory) = (self.program.display(), self.directory.display());
        format!(
            "Shell        {program} -c {directory}/operator.json shell web
Push         {program} -c {directory}/operator.json push inbox 'uptime'
Webhook      curl --cacert {directory}/engine/tls-certificate.pem https://{}/deploy
Its log      tail -f {directory}/engine.log
",
            self.address
        )
    }

    /// Asks it to end, and sees to it.
    fn end(&mut self) -> io::Result<()> {
        let begin = Instant::now();
        // It may have ended by itself.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        while self.child.try_wait()?.is_none() {
            if begin.elapsed() > END_TIME {
                self.child.kill()?;
                self.child.wait()?;
                break;
            }
            pause();
        }
        Ok(())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::error!(%error, "the agent cannot be ended");
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the last thing that the process does")]
fn pause() {
    thread::sleep(LOOK_EVERY);
}

/// The agent's program in the directory of this one.
fn beside(own: &Path) -> Result<PathBuf, DemoError> {
    let program = own.with_file_name(PROGRAM);
    if program.is_file() { Ok(program) } else { Err(DemoError::NoAgent(program)) }
}

/// The program, without settings of the person who starts it.
fn command(program: &Path, directory: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().to_ascii_lowercase().starts_with("etcha_") {
            command.env_remove(name);
        }
    }
    command.current_dir(directory).stdin(Stdio::null());
    command
}

/// Runs to its end, which has to be a good one. What it printed.
fn run(command: &mut Command) -> Result<Vec<u8>, DemoError> {
    let output = command.output().map_err(|error| failed(&error))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(DemoError::Agent(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

fn failed(error: &dyn std::fmt::Display) -> DemoError {
    DemoError::Agent(format!("{PROGRAM}: {error}"))
}

/// An address that is free now. Between now and its use somebody else may take it; then the agent says so.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// Says so when the agent ends before it is asked to. It is left to be waited for.
fn watch(child: &Child, log: PathBuf) -> Result<(), DemoError> {
    let pid = Pid::from_child(child);
    let watching = thread::Builder::new().name("agent".to_owned()).spawn(move || {
        loop {
            match waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
                Err(Errno::INTR) => {}
                Ok(_) => return tracing::info!(log = %log.display(), "the agent has ended"),
                // It was waited for already.
                Err(_) => return,
            }
        }
    });
    watching.map(drop).map_err(DemoError::Directory)
}

/// What the agent does: each Source shows one way in which something is set off.
fn engine(program: &Path, journal: &Path, keys: &Value, address: SocketAddr) -> Value {
    // At the start it does not listen yet, so the first run only makes the file.
    let later = "test ! -e listening";
    json!({
        "exec": {"env": {"ENGINE": program, "ADDRESS": address.to_string()}},
        "httpServer": {"listenAddress": address.to_string()},
        "journal": {"path": journal},
        "run": {"stateDir": "engine", "verifyKeys": [keys["publicKey"]]},
        "sources": {
            "web": {
                "pullPaths": ["release.jwt"], "runFrequency": "5s", "eventsSend": "^deployed$",
                "shell": {"command": "/bin/sh"}
            },
            "cache": {"eventsReceive": ["deployed"], "triggerOnly": true, "commands": [
                {"id": "flush", "always": true, "change": "true"}
            ]},
            "host": {"runFrequency": "4s", "commands": [
                {"id": "clock", "check": "find clock -newermt '-9 seconds' | grep -q .", "change": "date > clock"},
                {"id": "disk", "check": "true", "change": "false"},
                // What fails now and then; a failure ends a list, so it comes last.
                {"id": "backup", "check": "false", "change": "test $((RANDOM % 3)) != 0"}
            ]},
            "inbox": {"allowPush": true},
            "hook": {"webhookPaths": ["/deploy"], "triggerOnly": true, "commands": [
                {"id": "answer", "always": true, "change": "echo deployed", "onChange": "etcha:webhookBody"}
            ]},
            // Somebody who uses all of that from outside.
            "operator": {"runFrequency": "10s", "commands": [
                {"id": "push", "check": later,
                 "change": "\"$ENGINE\" -c operator.json -l error push inbox 'date > pushed'"},
                {"id": "call", "check": format!("{later} || ! command -v curl"),
                 "change": "curl --silent --show-error --fail --cacert engine/tls-certificate.pem https://$ADDRESS/deploy"},
                {"id": "visit", "check": later,
                 "change": "echo 'uptime; sleep 4; exit' | \"$ENGINE\" -c operator.json -l error shell web"},
                {"id": "listening", "check": "test -e listening", "change": "touch listening"}
            ]}
        }
    })
}

/// What a client needs to know: the key, whom to trust, where to go.
fn operator(directory: &Path, keys: &Value, address: SocketAddr) -> Value {
    json!({
        "build": {"signingKey": keys["privateKey"]},
        "httpClient": {"tlsCAPath": directory.join("engine/tls-certificate.pem"), "noSystemCA": true},
        "targets": {"demo": {
            "hostname": address.ip().to_string(), "port": address.port(), "sourcePatterns": {"inbox": ""}
        }}
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_agent_is_looked_for_beside_this_program_and_missed_with_advice() {
        let directory = tempfile::tempdir().unwrap();
        let own = directory.path().join("etcha-exporter");
        let missed = beside(&own).err().unwrap().to_string();
        assert!(missed.contains("etcha-engine: is not there") && missed.contains("cargo build"), "{missed}");
        std::fs::write(directory.path().join(PROGRAM), "").unwrap();
        assert_eq!(beside(&own).unwrap(), directory.path().join(PROGRAM));
    }
}
