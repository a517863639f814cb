//! What a Source that hangs keeps from others: nothing.

use std::{
    fs,
    io::Write as _,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use serde_json::json;

use super::{Home, peer::Keys};
use crate::harness::{
    http,
    wait::{SOON, wait_until},
};

#[test]
fn webhooks_of_a_source_that_hangs_are_few_and_keep_out_no_push_and_no_other_webhook() {
    let (home, keys) = (Home::new(), Keys::new("ops"));
    let answering = |script: &str| json!([{"id": "c", "always": true, "change": script, "onChange": "etcha:webhookBody"}]);
    let engine = home.listen(&json!({
        "journal": {"path": "journal.jsonl"},
        "run": {"verifyKeys": keys.public},
        "sources": {
            "slow": {
                "webhookPaths": "/slow", "allowPush": true, "triggerOnly": true,
                "commands": answering("until test -e go; do sleep 0.05; done; echo slow")
            },
            "quick": {"webhookPaths": "/quick", "triggerOnly": true, "commands": answering("echo quick")}
        }
    }));
    let (refused, answered) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let body = "x".repeat(60_000);
    // As many leave before they are answered, which frees nothing.
    for _ in 0..40 {
        let mut leaving = http::secured(engine.address, engine.certificate());
        write!(leaving, "POST /slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n{body}")
            .unwrap();
    }
    std::thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| match engine.send("POST", "/slow", &body).status {
                200 => answered.fetch_add(1, Relaxed),
                503 => refused.fetch_add(1, Relaxed),
                other => panic!("{other}"),
            });
        }
        wait_until(SOON, "those beyond the limit to be refused", || refused.load(Relaxed) >= 40 - 17);
        assert_eq!(engine.send("POST", "/quick", &body).body, b"quick\n");
        let answering = "{run: [{id: 'p', always: true, change: 'echo new', onChange: 'etcha:webhookBody'}]}";
        let pushing = scope.spawn(|| engine.push("slow", &keys.sign(answering)).status);
        fs::write(home.path("go"), "").unwrap();
        assert_eq!(pushing.join().unwrap(), 200);
    });
    assert_eq!(answered.into_inner() + refused.into_inner(), 40);
    // All places are free again.
    assert_eq!(engine.send("GET", "/quick", "").body, b"quick\n");
}
