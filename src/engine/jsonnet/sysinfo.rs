//! Facts about the host for Patterns, as `getConfig().vars.sysinfo`. What cannot be found out is empty or 0.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rustix::system::uname;
use serde_json::{Value, json};

use super::natives::architecture;

/// Programs that run containers, the one that comes first wins.
const CONTAINER_ENGINES: [&str; 2] = ["docker", "podman"];

/// Programs that install packages, by the names that Patterns know.
const PACKAGE_MANAGERS: [(&str, &str); 6] = [
    ("apt-get", "apt"),
    ("dnf", "dnf"),
    ("yum", "yum"),
    ("pacman", "pacman"),
    ("apk", "apk"),
    ("zypper", "zypper"),
];

/// Where programs are looked for; not in `PATH`, so that the answer does not depend on who starts the engine.
const DIRECTORIES: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// The facts.
pub(crate) fn facts() -> Value {
    let system = uname();
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let release = os_release(&release);
    let of_release = |key: &str| release.get(key).cloned().unwrap_or_default();
    let engine = CONTAINER_ENGINES.into_iter().find(|program| exists(program));
    let packages = PACKAGE_MANAGERS.into_iter().find(|(program, _)| exists(program));
    json!({
        "containerEngine": engine.unwrap_or_default(),
        "cpuLogical": std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        "hostname": system.nodename().to_string_lossy(),
        "kernelRelease": system.release().to_string_lossy(),
        "kernelVersion": system.version().to_string_lossy(),
        "machine": system.machine().to_string_lossy(),
        "memoryTotal": memory_bytes(&fs::read_to_string("/proc/meminfo").unwrap_or_default()),
        "osID": of_release("ID"),
        "osIDLike": of_release("ID_LIKE"),
        "osName": of_release("NAME"),
        "osType": system.sysname().to_string_lossy(),
        "osVersion": of_release("VERSION"),
        "osVersionID": of_release("VERSION_ID"),
        "packageManager": packages.map(|(_, name)| name).unwrap_or_default(),
        "runtimeArch": architecture(),
        "runtimeOS": std::env::consts::OS,
    })
}

fn exists(program: &str) -> bool {
    DIRECTORIES.iter().any(|directory| Path::new(directory).join(program).is_file())
}

/// The assignments of an os-release file, without quotes.
fn os_release(text: &str) -> BTreeMap<&str, String> {
    let pairs = text.split('\n').filter_map(|line| line.trim().split_once('='));
    pairs.map(|(key, value)| (key, value.trim_matches(['"', '\'']).replace('\\', ""))).collect()
}

/// Memory of the host in bytes, out of `/proc/meminfo`.
fn memory_bytes(text: &str) -> u64 {
    let line = text.split('\n').find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or_default().saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_system_are_read_without_their_quotes() {
        let release = os_release("# comment\nNAME=\"Debian GNU/Linux\"\nID=debian\nVERSION_ID='13'\n");
        assert_eq!(release["NAME"], "Debian GNU/Linux");
        assert_eq!((release["ID"].as_str(), release["VERSION_ID"].as_str()), ("debian", "13"));
        assert_eq!(memory_bytes("MemTotal:        2048 kB\nMemFree: 1 kB\n"), 2 * 1024 * 1024);
    }

    #[test]
    fn this_host_has_a_name_and_memory() {
        let facts = facts();
        assert_eq!((&facts["osType"], &facts["runtimeOS"]), (&json!("Linux"), &json!("linux")));
        assert!(facts["memoryTotal"].as_u64().is_some_and(|bytes| bytes > 1024 * 1024), "{facts}");
        assert!(!facts["hostname"].as_str().unwrap_or_default().is_empty(), "{facts}");
    }
}
