//! Real programs that some tests need: `prometheus`, `promtool`, `openssl`, `curl`. `make test` installs them.

use std::{
    env,
    fs::OpenOptions,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

/// Where `program` lies, by `PATH`. Without it the test is to return at once: this has then written to stderr which
/// test is left out and why. With `CI=true` a missing program is a failure instead.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    told(program, on_path(program))
}

/// A Python that has `module`, in the environment that `make programs` makes. Without it the test is to return at
/// once, as with [`find`].
pub(crate) fn find_python(module: &str) -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/python/bin/python");
    let mut import = Command::new(&python);
    import.args(["-c", &format!("import {module}")]).stderr(Stdio::null());
    let found = import.status().is_ok_and(|status| status.success());
    told(&format!("Python's {module}"), found.then_some(python))
}

/// Says which test is left out if there is nothing.
fn told(program: &str, found: Option<PathBuf>) -> Option<PathBuf> {
    if found.is_none() {
        leave_out(&format!("{program} not installed (`make test` installs it)"));
    }
    found
}

/// Writes to stderr which test is left out and why, and to the file that `ETCHA_LEFT_OUT` names, out of which `make test`
/// makes its last line. With `CI=true` that is a failure instead.
pub(crate) fn leave_out(why: &str) {
    let under_ci = env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!under_ci, "{why}, and CI=true allows no test to be left out");
    // The harness gives each test a thread with its name.
    let thread = thread::current();
    let test = thread.name().unwrap_or("a test");
    if let Some(file) = env::var_os("ETCHA_LEFT_OUT") {
        let mut file = OpenOptions::new().append(true).create(true).open(file).unwrap();
        file.write_all(format!("{test}: {why}\n").as_bytes()).unwrap();
    }
    // Not `eprintln!`: its output is kept back from tests that pass. In one write, so that lines stay whole.
    let _ = io::stderr().write_all(format!("left out: {test}: {why}\n").as_bytes());
}

fn on_path(program: &str) -> Option<PathBuf> {
    let directories = env::var_os("PATH")?;
    env::split_paths(&directories).map(|directory| directory.join(program)).find(|file| file.is_file())
}
