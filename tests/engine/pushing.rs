//! The program as somebody who pushes: to several engines at once, and what is said of each.

use serde_json::{Value, json};

use super::{
    Home,
    peer::{Engine, Keys},
    text, timeless,
};

/// An engine whose Source `web` takes what `keys` sign.
fn engine(home: &Home, keys: &Keys) -> Engine {
    home.listen(&json!({
        "journal": {"path": "journal.jsonl"},
        "run": {"verifyKeys": keys.public},
        "sources": {"web": {"allowPush": true}}
    }))
}

/// Settings of somebody who pushes.
fn pusher(keys: &Keys, engine: &Engine, targets: &Value) -> Value {
    json!({
        "build": {"signingKey": keys.private},
        "httpClient": {"tlsCAPath": engine.certificate(), "noSystemCA": true},
        "targets": targets
    })
}

#[test]
fn a_command_is_pushed_to_a_host_and_a_pattern_to_every_target() {
    let keys = Keys::new("deploy");
    let (there, here) = (Home::new(), Home::new());
    let engine = engine(&there, &keys);
    let port = engine.address.port();
    let target = |vars: Value| json!({"hostname": "127.0.0.1", "port": port, "sourcePatterns": {"web": "web.jsonnet"}, "vars": vars});
    let targets = json!({
        "one": target(json!({"name": "first"})), "two": target(json!({})),
        "other": {"sourcePatterns": {"db": ""}}
    });
    here.write("pusher.json", &pusher(&keys, &engine, &targets).to_string());
    here.write(
        "web.jsonnet",
        "local vars = std.native('getConfig')().vars;
         {build: [{id: 'b', always: true, change: 'echo built >> builds', onChange: 'etcha:runVar_from'}],
          run: [{id: std.get(vars, 'name', 'nameless'), always: true, change: 'echo ' + vars.source}]}",
    );
    let port = port.to_string();
    let ad_hoc = ["-c", "pusher.json", "push", "--host", "localhost", "--port", &port, "web", "echo hello"];
    assert_eq!(
        timeless(&here.says(&ad_hoc)),
        "localhost: 1 changed, 0 removed in N s\n  changed  etcha push\n           | hello\n"
    );
    let said = here.says(&["-c", "pusher.json", "push", "web"]);
    assert!(said.contains("\n  changed  first\n           | web\n"), "{said}");
    assert!(said.contains("\n  changed  nameless\n           | web\n"), "{said}");
    assert!(said.contains("one: ") && said.contains("two: ") && !said.contains("other"), "{said}");
    let said = here.says(&["-c", "pusher.json", "push", "-n", "^tw", "--check", "web"]);
    assert_eq!(
        timeless(&said.lines().skip_while(|line| !line.starts_with("two")).collect::<Vec<_>>().join("\n")),
        "two: 1 to do, checked in N s\n  needed   nameless"
    );
    let filtered = here.says(&["-c", "pusher.json", "push", "-n", "two", "-f", "nothing > like this", "web"]);
    assert!(filtered.contains("two: nothing to do, checked in "), "{filtered}");
}

#[test]
fn what_does_not_work_is_told_per_target_and_fails_the_whole() {
    let keys = Keys::new("deploy");
    let (there, here) = (Home::new(), Home::new());
    let engine = engine(&there, &keys);
    let targets = json!({
        "dead": {"hostname": "127.0.0.1", "port": 1, "sourcePatterns": {"web": ""}},
        "good": {"hostname": "127.0.0.1", "port": engine.address.port(), "sourcePatterns": {"web": "", "no": ""}}
    });
    here.write("pusher.json", &pusher(&keys, &engine, &targets).to_string());
    let run = |arguments: &[&str]| {
        let output = here.run(&[&["-c", "pusher.json"], arguments].concat());
        (output.status.code(), timeless(&text(&output.stdout)), text(&output.stderr))
    };
    let (status, said, _) = run(&["push", "web", "true"]);
    assert_eq!(status, Some(1));
    assert!(said.contains("good: 1 changed, 0 removed in N s\n"), "{said}");
    assert!(said.contains("dead: failed in N s: connecting: Connection refused"), "{said}");
    let (status, said, _) = run(&["push", "-n", "good", "web", "echo no; false"]);
    assert_eq!(status, Some(1));
    assert!(said.contains("then it failed in N s: changing web > etcha push: exit status 1: no\n"), "{said}");
    let (_, said, _) = run(&["push", "no", "true"]);
    assert!(
        said.starts_with("good: failed in N s: there is no such source, it takes no pushes, or"),
        "{said}"
    );
    let stranger = format!("build_signingKey={}", Keys::new("deploy").private);
    for _ in 0..10 {
        run(&["-x", &stranger, "push", "-n", "good", "web", "true"]);
    }
    let (_, said, _) = run(&["-x", &stranger, "push", "-n", "good", "web", "true"]);
    assert!(said.contains("too many requests from here were refused; try again in "), "{said}");
    let (_, said, _) = run(&["-x", "httpClient_tlsCAPath=", "push", "-n", "good", "web", "true"]);
    assert!(said.contains("good: failed in N s: TLS: "), "{said}");
    let cases: [(&[&str], &str); 3] = [
        (
            &["push", "none", "true"],
            "etcha-engine: no target has the source `none` in its `sourcePatterns`; add it, or give --host\n",
        ),
        (
            &["push", "web"],
            "etcha-engine: target `dead` names no pattern for this source; give a path or a command\n",
        ),
        (
            &["-x", "build_signingKey=", "push", "web", "true"],
            "etcha-engine: for target `dead`: there is no key to sign with; set `build_signingKeyPath`\n",
        ),
    ];
    for (arguments, expected) in cases {
        assert_eq!(run(arguments), (Some(1), String::new(), expected.to_owned()));
    }
}
