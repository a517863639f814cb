//! Runs `etcha-journal` on a journal in a directory of its own.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use tempfile::TempDir;

/// How a program ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// Well, and without a word.
    pub(crate) fn quietly() -> Ended {
        Ended { code: 0, out: String::new(), err: String::new() }
    }
}

/// The program, without the variables of whoever runs the tests.
pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_etcha-journal"));
    command.args(arguments).env_remove("ETCHA_JOURNAL");
    command
}

pub(crate) fn run(command: &mut Command) -> Ended {
    run_with_input(command, "")
}

pub(crate) fn run_with_input(command: &mut Command, input: &str) -> Ended {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = thread::scope(|scope| {
        // A program that reads no input closes it; that is not an error here.
        scope.spawn(move || drop(stdin.write_all(input.as_bytes())));
        child.wait_with_output().unwrap()
    });
    Ended {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A journal in a directory that vanishes with it.
pub(crate) struct JournalDir {
    directory: TempDir,
    path: PathBuf,
}

impl JournalDir {
    pub(crate) fn new() -> JournalDir {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.jsonl");
        JournalDir { directory, path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The active file.
    pub(crate) fn journal(&self) -> String {
        fs::read_to_string(&self.path).unwrap()
    }

    /// Every file of the directory but those of writers.
    pub(crate) fn segments(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.directory.path()).unwrap().map(|entry| entry.unwrap());
        entries
            .filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."))
            .map(|entry| entry.path())
            .collect()
    }

    /// The program, told of the journal by its variable.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program(arguments);
        command.env("ETCHA_JOURNAL", &self.path);
        command
    }

    pub(crate) fn append(&self, arguments: &[&str]) -> Ended {
        run(self.command(&["append"]).args(arguments))
    }

    pub(crate) fn append_stdin(&self, input: &str) -> Ended {
        run_with_input(&mut self.command(&["append", "--stdin"]), input)
    }

    pub(crate) fn check(&self) -> Ended {
        run(program(&["check"]).arg(&self.path))
    }
}
