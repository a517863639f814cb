//! The textfile for node_exporter: what stands in it, and that it needs no port.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Stdio},
};

use crate::harness::{
    exporter::Home,
    exposition::Exposition,
    program,
    recording::Recording,
    wait::{SOON, wait_until},
};

#[test]
fn the_textfile_holds_what_a_scrape_shows_and_no_port_is_open() {
    let home = Home::new();
    let recording = Recording::load("tour");
    home.append(&recording.journal);
    let file = home.path("etcha.prom");
    let mut process =
        home.launch(&["--textfile", file.to_str().unwrap(), "--no-listener", "--poll-interval", "50ms"]);
    let read = || fs::read_to_string(&file).unwrap_or_default();
    wait_until(SOON, "the textfile to have all", || read().contains("\netcha_exporter_caught_up 1\n"));
    // Written as a whole: at no moment is half a line to be seen.
    home.append(
        r#"{"v":1,"writer":"late","seq":1,"time":"2026-01-01T00:00:00.000Z","event":"command","id":"late","mode":"check","error":false,"source":"s"}
"#,
    );
    wait_until(SOON, "the late line", || {
        let text = read();
        assert!(text.parse::<Exposition>().is_ok(), "{text}");
        text.contains("id=\"late\"")
    });
    let text = read();
    assert!(!text.contains("\nprocess_"), "node_exporter has families of these names itself");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
    assert!(!home.certificate().exists(), "no certificate is made for nobody");
    assert!(!process.log().contains("listening"), "{}", process.log());
    if let Some(promtool) = program::find("promtool") {
        let mut command = Command::new(promtool);
        let mut child = command.args(["check", "metrics"]).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }
    assert!(process.terminate().success());
}
