//! What installs the programs that tests use (`.ci/install-programs`), and what says in one line which tests were left out
//! (`.ci/left-out`). The package manager here is a stand-in: the real one would change this machine.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    process::Command,
};

/// What the script uses of the system.
const USED: [&str; 12] =
    ["bash", "cat", "dirname", "env", "grep", "mktemp", "rm", "sort", "tail", "xargs", "mkdir", "sed"];

fn executable(file: &Path, script: &str) {
    fs::write(file, format!("#!/usr/bin/env bash\n{script}\n")).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A directory for `PATH` with these programs alone, and stand-ins for those that would change something.
fn path() -> tempfile::TempDir {
    let path = tempfile::tempdir().unwrap();
    for program in USED {
        let found = ["/usr/bin", "/bin"].iter().map(|it| Path::new(it).join(program)).find(|it| it.exists());
        symlink(found.unwrap(), path.path().join(program)).unwrap();
    }
    // The environment for Python, where the script looks for it.
    let python = "mkdir -p target/tools/python/bin; ln -sf /bin/true target/tools/python/bin/python";
    for (name, script) in
        [("id", "echo 0"), ("tee", "cat"), ("chmod", ":"), ("sleep", ":"), ("python3", python)]
    {
        executable(&path.path().join(name), script);
    }
    path
}

#[test]
fn a_package_manager_that_is_busy_is_waited_for() {
    let path = path();
    let calls = path.path().join("calls");
    // Busy for the first three calls; then the packages bring what is missing.
    executable(
        &path.path().join("apt-get"),
        &format!(
            r#"echo "$@" >>{calls}
if [ "$(grep -c . {calls})" -le 3 ]; then echo "E: Could not get lock /var/lib/apt/lists/lock" >&2; exit 100; fi
case "$*" in *install*) for program in prometheus promtool prometheus-alertmanager amtool victoria-metrics vmalert openssl go \
    curl logrotate gzip zstd rsync vim chromium debootstrap systemd-nspawn lintian; do env ln -s /bin/true {directory}/$program; done ;; esac"#,
            calls = calls.display(),
            directory = path.path().display(),
        ),
    );
    symlink("/bin/ln", path.path().join("ln")).unwrap();
    // What it makes goes into a checkout of its own.
    let checkout = tempfile::tempdir().unwrap();
    fs::create_dir(checkout.path().join(".ci")).unwrap();
    let script = checkout.path().join(".ci/install-programs");
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/install-programs"), &script).unwrap();
    let output = Command::new(path.path().join("bash"))
        .arg(script)
        .env("PATH", path.path())
        .env("CI", "true")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(said.matches("another package manager is running").count(), 1, "{said}");
    let calls = fs::read_to_string(calls).unwrap();
    assert_eq!(calls.lines().filter(|call| call.ends_with(" update")).count(), 4, "{calls}");
    assert_eq!(calls.lines().filter(|call| call.contains(" install ")).count(), 1, "{calls}");
    assert!(calls.contains("DPkg::Lock::Timeout="), "{calls}");
}

#[test]
fn what_was_left_out_is_summed_up_in_one_line() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let summed_up = || {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/left-out");
        let output = Command::new("bash").arg(script).env("ETCHA_LEFT_OUT", file.path()).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(summed_up(), "== nothing was left out\n");
    fs::write(
        file.path(),
        "alerts::one: prometheus not installed\nrules::two: prometheus not installed\nthe_trial: needs root\n",
    )
    .unwrap();
    assert_eq!(summed_up(), "== left out: 3: prometheus not installed (2); needs root (1)\n");
}
