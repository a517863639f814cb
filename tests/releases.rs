//! What a release consists of: the bill of materials agrees with the lock file and leaves out what is not in the programs.
//! That the archive and the packages can be made is tried by `make release` and `make host`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use serde_json::Value;

use crate::harness::program;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Checksums in `Cargo.lock`, by name and version.
fn locked() -> BTreeMap<(String, String), String> {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let field = |package: &str, name: &str| {
        let start = format!("{name} = \"");
        let value = package.lines().find_map(|line| line.strip_prefix(&start));
        value.map(|value| value.trim_end_matches('"').to_owned())
    };
    let packages = lock.split("[[package]]\n").skip(1).filter_map(|package| {
        Some(((field(package, "name")?, field(package, "version")?), field(package, "checksum")?))
    });
    packages.collect()
}

#[test]
fn the_bill_of_materials_has_what_is_built_in_with_the_checksums_of_the_lock_file() {
    let Some(python) = program::find("python3") else { return };
    let output = Command::new(python).arg("-B").arg(root().join(".ci/bill-of-materials")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bill: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&bill["bomFormat"], &bill["specVersion"]), (&"CycloneDX".into(), &"1.5".into()));
    assert_eq!(bill["metadata"]["component"]["name"], "etcha-exporter");
    let locked = locked();
    let mut names = BTreeSet::new();
    for component in bill["components"].as_array().unwrap() {
        let [name, version] = ["name", "version"].map(|key| component[key].as_str().unwrap().to_owned());
        assert!(component["licenses"][0]["expression"].is_string(), "{name}");
        // Those of this workspace have none.
        let checksum = locked.get(&(name.clone(), version)).map(String::as_str);
        assert_eq!(component["hashes"][0]["content"].as_str(), checksum, "{name}");
        names.insert(name);
    }
    for built_in in ["journal-schema", "engine", "tokio", "ring", "serde_json"] {
        assert!(names.contains(built_in), "{built_in}");
    }
    for of_tests in ["proptest", "divan"] {
        assert!(!names.contains(of_tests), "{of_tests}");
    }
}

#[test]
fn the_oldest_compiler_is_the_same_wherever_it_is_named() {
    let oldest = env!("CARGO_PKG_RUST_VERSION");
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    assert!(readme.contains(&format!("{oldest} or later")), "README.md does not name Rust {oldest}");
}
