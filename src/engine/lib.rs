//! The engine: runs the Commands of Patterns.
//!
//! # Layout
//!
//! Three wings, each over those below, and over a common ground:
//!
//! * [`operator`]: who asks: a push, a shell on another engine, a run for a person, a build.
//! * [`agent`]: who does: the engine as a process.
//! * [`wire`]: what travels between them. `operator` and `agent` never see each other; a test below says so.
//!
//! * [`program`], [`jsonnet`]: how a program is rendered and what it sees.
//! * [`pattern`]: what is to be done, decoded from JSON by [`fields`] and checked.
//! * [`run`]: lists of Commands, one step after the other.
//! * [`exec`]: how a script becomes a process, and how that ends.
//! * [`config`]: file, environment and flags, as one configuration.
//! * [`stop`]: the wish that all work ends.
//!
//! [`cli`] is what is asked for on a command line.
//!
//! # What was decided
//!
//! Where Etcha's documents leave a choice, or its last public source does what nobody would expect, this engine does as
//! follows.
//!
//! *Runs.* A Command that was set off stays so until it ran with success: over failures, restarts, and a new Pattern that
//! still has it under the same ids; asking only does not use that up. Commands of one id are compared by their position
//! among each other. A push whose filter lets no removal through leaves removals for the next whole run. A token that
//! cannot be kept is not run. A Command never sets itself off, and a group cannot be set off. A group fires its own
//! `onChange` and `onRemove`. A check that is cut off by a deadline or the end of the engine counts as nothing and ends the
//! run; after the end no script starts, after a deadline what `onFail` sets off has a minute. Groups beside each other do
//! not see each other's ids. A Pattern of groups alone runs. A Command whose change failed counts as changed. In the remove
//! phases Commands are out of their groups, so a filter sees the Source alone.
//!
//! *Scripts.* No input is an empty input, never the terminal. A user without a group gets its primary one, and no others. An
//! override changes what it says and no more; where none is allowed it is left out and logged. Quotes join words of
//! `command` only, and `${NAME}` is the shell's matter. A process that a script leaves in the background lives on, but delays
//! the run by 0.2 s at most unless it closes its output. A script that is cut off gets SIGTERM with all of its process group,
//! and SIGKILL two seconds later. A process that leaves its group, as a daemon does, is not found. Output is kept up to
//! 1 MiB for a script and 8 MiB for a run, and a variable holds 96 KiB.
//!
//! *Patterns.* An unknown key is an error. `getConfig().vars` holds `source` and `test`, and `jwt` in a run from a token;
//! `target` when it is
//! pushed; facts about the host (`sysinfo`) are not there. All imports of a program have to exist, also those that it may not
//! evaluate.
//!
//! *Sources.* They run side by side, and a run that hangs holds up no other Source. A run counts once; one that finds nothing to run does not count. One that fetched a Pattern only to store it
//! (`triggerOnly`) counts without numbers of changes. Event runs wait for their turn as all others do, fire nothing
//! themselves and never reach the Source that fired; no sender waits for them. `exit` needs no `eventsSend`, and ends the
//! engine as a signal does, after those who receive events of the same run. A reload is a restart that cuts nothing off. Tokens are kept with mode 0600. A pull remembers `ETag` and
//! `Last-Modified` in memory and does not follow redirects. `local` records nothing in the journal: it is no run of the
//! engine.
//!
//! *Pushing.* Targets listen on 4001 unless they say otherwise, and `insecure` is plain HTTP. The domain suffix is for targets
//! of the configuration that are no addresses. A pattern is rendered and signed for each target; build Commands run once for
//! all that render to the same. The Commands' own rules for signing and verifying (`signingCommands`, `verifyCommands`,
//! `jwtRule`) are not there.
//!
//! *Shells.* A session belongs to its Source and its key; input for any other is answered 404 and opens nothing. A request
//! has to expire within five minutes, to hold no Pattern and to be bound to this engine, so that no other token opens a shell. `timeoutShell` bounds a
//! session as a whole. One that ends by anything but its own exit is hung up on, with every process of its session in the
//! system's sense, and what is still there after two seconds is killed; so `nohup` does not help, `setsid` does. If the engine
//! is killed, the system hangs up. There are 64 sessions at most, 16 from one address. A client that claims `e` is told how
//! the session ended, by a last line `eexit STATUS`, `etimeout` or `estopped`. Without a `TERM` it is `xterm-256color`.
//!
//! *Configuration.* Of `httpServer` there are `listenAddress`, `tlsCertificatePath` and `tlsKeyPath`; `httpClient` has one key of
//! its own, `tlsCAPath`, a file with certificates to trust. `-c` with a file that is not there is an error; the default file may be missing. Variables in the
//! environment that begin with no section's name are left alone.

pub mod agent;
pub mod cli;
pub mod config;
pub mod exec;
pub mod fields;
pub mod jsonnet;
pub mod operator;
pub mod pattern;
pub mod program;
pub mod run;
pub mod stop;
pub mod wire;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;
    use std::path::{Path, PathBuf};

    /// The sources of a module and of all that is in it.
    fn sources(module: &str) -> Vec<PathBuf> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = vec![root.join(format!("{module}.rs"))];
        let mut directories: Vec<_> =
            Some(root.join(module)).filter(|path| path.is_dir()).into_iter().collect();
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { directories.push(path) } else { files.push(path) }
            }
        }
        files
    }

    #[test]
    fn no_wing_sees_one_that_it_does_not_stand_on() {
        let ground = ["config", "exec", "fields", "jsonnet", "pattern", "program", "run", "stop"];
        let mut forbidden = vec![
            ("operator", vec!["agent", "cli"]),
            ("agent", vec!["operator", "cli"]),
            ("wire", vec!["operator", "agent", "cli"]),
        ];
        forbidden.extend(ground.map(|module| (module, vec!["operator", "agent", "cli"])));
        for (module, others) in forbidden {
            for path in sources(module) {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
                for (other, line) in
                    others.iter().flat_map(|other| code.clone().map(move |line| (other, line)))
                {
                    assert!(!line.contains(&format!("crate::{other}")), "{}: {line}", path.display());
                }
            }
        }
    }
}
