//! Says what was built: the revision, the target and the compiler, for `--version` and the metric. Works without Git
//! and without a repository; packagers can set `ETCHA_REVISION` themselves.

use std::env;
use std::process::Command;

/// Characters of a revision: enough to be the only one of a repository.
const REVISION: usize = 12;

fn main() {
    println!("cargo::rerun-if-env-changed=ETCHA_REVISION");
    // Each commit would build everything anew. A debug build may show the revision of an earlier one.
    if env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        for file in ["HEAD", "logs/HEAD"] {
            if let Some(path) = output("git", &["rev-parse", "--path-format=absolute", "--git-path", file]) {
                println!("cargo::rerun-if-changed={path}");
            }
        }
    } else {
        println!("cargo::rerun-if-changed=build.rs");
    }
    let given = env::var("ETCHA_REVISION").ok().filter(|revision| !revision.is_empty());
    let revision = given.or_else(|| output("git", &["rev-parse", "HEAD"])).map(|mut revision| {
        revision.truncate(REVISION);
        revision
    });
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    // `rustc 1.91.0 (…)`: the date and the hash say no more than the version.
    let compiler = output(&rustc, &["--version"])
        .map(|text| text.split_whitespace().take(2).collect::<Vec<_>>().join(" "));
    let unknown = || "unknown".to_owned();
    println!("cargo::rustc-env=ETCHA_REVISION={}", revision.unwrap_or_else(unknown));
    println!("cargo::rustc-env=ETCHA_TARGET={}", env::var("TARGET").unwrap_or_else(|_| unknown()));
    println!("cargo::rustc-env=ETCHA_COMPILER={}", compiler.unwrap_or_else(unknown));
}

/// What a program prints, if it can be run and succeeds.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
