//! What a listening engine answers, and what it does and does not do for whom.

use std::{fs, future::poll_fn, path::Path, pin::pin, sync::Arc, time::Duration};

use engine::{jsonnet::Imports, program, wire::token::Claims};
use hyper::{Request, StatusCode, body::Body as _, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::{net::TcpStream, sync::Semaphore, task::JoinSet};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

use super::{
    Home,
    peer::{Engine, Keys, json, local},
};
use crate::harness::{
    http::trusting,
    process::Process,
    wait::{SOON, wait_until},
};

/// What was refused leaves nothing but these lines.
fn events(home: &Home) -> Vec<String> {
    let lines = home.lines();
    lines.iter().map(|line| line["event"].as_str().unwrap().to_owned()).collect()
}

/// A home, its engine with the Source `web` and one that takes no pushes, and the key that signs for it.
fn engine(home: &Home, web: &Value) -> (Engine, Keys) {
    let keys = Keys::new("deploy");
    let mut source = json!({"allowPush": true});
    source.as_object_mut().unwrap().extend(web.as_object().unwrap().clone());
    let engine = home.listen(&json!({
        "journal": {"path": "journal.jsonl"},
        "run": {"verifyKeys": keys.public, "timeoutPush": "20s"},
        "sources": {"web": source, "closed": {}}
    }));
    (engine, keys)
}

#[test]
fn a_push_runs_is_kept_and_says_what_changed() {
    let home = Home::new();
    let (engine, keys) = engine(&home, &json!({}));
    let token = keys.sign(
        "{run: [
            {id: 'a', check: 'test -e a', change: 'echo made; touch a', remove: 'rm a; echo gone'},
            {id: 'g', commands: [{id: 'fine', check: 'true'}]}
        ]}",
    );
    let first = engine.push("web", &token);
    assert_eq!(first.status, 200);
    assert_eq!(first.header("content-type"), Some("application/json"));
    assert_eq!(
        first.text(),
        "{\n  \"changedIDs\": [\n    \"a\"\n  ],\n  \"changedOutputs\": [\n    \"made\"\n  ],\n  \"err\": \"\",\n  \
         \"exit\": false,\n  \"removedIDs\": null,\n  \"removedOutputs\": null\n}"
    );
    assert_eq!(json(&engine.push("web", &token))["changedIDs"], Value::Null);
    let next = json(&engine.push("web", &keys.sign("{run: [{id: 'b'}]}")));
    assert_eq!((&next["removedIDs"], &next["removedOutputs"]), (&json!(["a"]), &json!(["gone"])));
    assert!(fs::read_to_string(home.path("state/web.jwt")).unwrap().starts_with("eyJ"));
    let sources: Vec<_> = home.lines().into_iter().filter(|line| line["event"] == "source").collect();
    let told: Vec<_> = sources.iter().map(|line| (&line["changed"], &line["removed"])).collect();
    assert_eq!(told, [(&json!(1), &json!(0)), (&json!(0), &json!(0)), (&json!(0), &json!(1))]);
    for line in home.lines().iter().filter(|line| line["event"] != "engine") {
        assert_eq!((&line["public_key"], &line["remote_addr"]), (&json!("deploy"), &json!("127.0.0.1")));
    }
}

#[test]
fn a_push_that_only_asks_says_what_would_change_and_leaves_everything() {
    let home = Home::new();
    let (engine, keys) = engine(&home, &json!({}));
    let undo = "{id: 'old', check: 'test -e old', change: 'touch old', remove: 'rm old'}";
    engine.push("web", &keys.sign(&format!("{{run: [{undo}]}}")));
    let kept = fs::read(home.path("state/web.jwt")).unwrap();
    let new = keys.sign(
        "{run: [{id: 'a', check: 'echo missing; false', change: 'touch a', onChange: 'etcha:exit'}, {id: 'b', check: 'true'}]}",
    );
    let answer = engine.push("web?check", &new);
    assert_eq!(answer.status, 200);
    let said = json(&answer);
    assert_eq!((&said["changedIDs"], &said["changedOutputs"]), (&json!(["a"]), &json!(["missing"])));
    assert_eq!((&said["removedIDs"], &said["exit"]), (&json!(["old"]), &json!(false)));
    assert!(!home.path("a").exists() && home.path("old").exists());
    assert_eq!(fs::read(home.path("state/web.jwt")).unwrap(), kept);
    let last = home.lines().pop().unwrap();
    assert_eq!(
        (&last["trigger"], &last["error"], &last["changed"]),
        (&json!("push"), &json!(false), &json!(0))
    );
}

#[test]
fn a_filter_leaves_commands_out_and_a_bad_one_is_the_clients_fault() {
    let home = Home::new();
    let (engine, keys) = engine(&home, &json!({}));
    let token = keys.sign(
        "{run: [{id: g, commands: [{id: 'in ' + g, always: true, change: 'true'}]} for g in ['one', 'two']]}",
    );
    let said = json(&engine.push("web?filter=%3E+two%24", &token));
    assert_eq!(said["changedIDs"], json!(["in two"]));
    let answer = engine.push("web?filter=(", &token);
    assert_eq!((answer.status, answer.text()), (400, ""));
}

#[test]
fn a_push_that_fails_answers_500_with_what_failed_and_what_had_changed() {
    let home = Home::new();
    let (engine, keys) = engine(&home, &json!({}));
    let token = keys.sign(
        "{run: [{id: 'a', always: true, change: 'true'}, {id: 'g', commands: [{id: 'b', always: true, change: 'echo no; exit 3'}]}]}",
    );
    let answer = engine.push("web", &token);
    assert_eq!(answer.status, 500);
    let said = json(&answer);
    assert_eq!(said["err"], "changing web > g > b: exit status 3: no");
    assert_eq!(said["changedIDs"], json!(["a", "b"]));
    assert!(!home.path("state/web.jwt").exists());
    let answer = engine.push("web", &keys.sign("{run: [{id: }]}"));
    assert_eq!(answer.status, 500);
    assert!(json(&answer)["err"].as_str().unwrap().starts_with("pattern: /main.jsonnet:1:"), "{answer:?}");
    let last = home.lines().pop().unwrap();
    assert_eq!((&last["trigger"], &last["error"], last.get("changed")), (&json!("push"), &json!(true), None));
}

#[test]
fn what_is_refused_is_refused_without_a_word_and_nothing_runs() {
    let home = Home::new();
    let (engine, keys) = engine(&home, &json!({}));
    let program = "{run: [{id: 'evil', always: true, change: 'touch evil'}]}";
    let good = keys.sign(program);
    let (head, rest) = good.split_once('.').unwrap();
    let claims = |expires, not_before| Claims {
        pattern: Some(Imports::of_text(program)),
        expires: Some(expires),
        not_before: Some(not_before),
        ..Claims::default()
    };
    let now = program::now();
    let none = "eyJhbGciOiJub25lIn0";
    let long = "a".repeat(17 * 1024 * 1024);
    let cases: [(&str, String); 18] = [
        ("none", good.clone()),
        ("closed", good.clone()),
        ("WEB", good.clone()),
        ("..%2Fweb", good.clone()),
        ("%2e%2e", good.clone()),
        ("web%00", good.clone()),
        ("web", Keys::new("deploy").sign(program)),
        ("web", keys.sign_claims(&claims(now - 40, now - 50))),
        ("web", keys.sign_claims(&claims(now + 60, now + 50))),
        ("web", format!("{none}.{}.", rest.split('.').next().unwrap())),
        ("web", format!("{none}.{rest}")),
        ("web", format!("{head}.{head}.{head}")),
        ("web", good[..good.len() - 2].to_owned()),
        ("web", good.replace('.', "")),
        ("web", String::new()),
        ("web", "\u{0}\u{1f980}".to_owned()),
        ("web", long.clone()),
        ("none", long.clone()),
    ];
    for (number, (source, token)) in cases.iter().enumerate() {
        // From two addresses, each below the limit on attempts.
        let from = local(if number % 2 == 0 { 1 } else { 2 });
        let answer = engine.push_from(from, source, token);
        // The length is judged before anything else is, whether there is such a Source or not.
        let expected = if *token == long { 413 } else { 404 };
        assert_eq!((answer.status, answer.text()), (expected, ""), "case {number}: {source}");
    }
    for (method, target) in [
        ("GET", "/etcha/v1/push/web"),
        ("PUT", "/etcha/v1/push/web"),
        ("POST", "/etcha/v1/push/web/"),
        ("POST", "/etcha/v1/push/"),
        ("POST", "/etcha/v1/system/metrics?key=x"),
        ("GET", "/"),
    ] {
        let server = (engine.address, engine.certificate());
        let answer = crate::harness::http::send(server, local(3), (method, target), &[], good.as_bytes());
        assert_eq!((answer.status, answer.text()), (404, "404 page not found\n"), "{method} {target}");
    }
    assert!(!home.path("evil").exists());
    let refused = |home: &Home| events(home).iter().filter(|event| *event == "refused").count();
    wait_until(SOON, "five lines for each of three clients", || refused(&home) == 15);
    assert_eq!(events(&home).len(), 16, "and the one of the engine");
    for line in home.lines().iter().filter(|line| line["event"] == "refused") {
        assert!(
            line.get("public_key").is_none() && line.get("name").is_none_or(|name| name != "WEB"),
            "{line}"
        );
    }
    let log = engine.process.logged("was signed by none of the configured keys");
    for secret in [&good, &good[..40], "touch evil", &keys.private] {
        assert!(!log.contains(secret), "{log}");
    }
    assert_eq!(engine.push("web", &good).status, 200);
}

#[test]
fn whoever_is_refused_too_often_is_told_to_wait_and_a_right_token_never_is() {
    let home = Home::new();
    let (engine, keys) = engine(&home, &json!({}));
    let good = keys.sign("{run: [{id: 'a'}]}");
    let statuses: Vec<_> = (0..12).map(|_| engine.push("web", "wrong").status).collect();
    assert_eq!(statuses, [404, 404, 404, 404, 404, 404, 404, 404, 404, 404, 429, 429]);
    let limited = engine.push("web", "wrong");
    let wait: u64 = limited.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=61).contains(&wait) && limited.text().is_empty());
    assert_eq!(engine.push("web", &good).status, 200);
    assert_eq!(engine.push_from(local(2), "web", "wrong").status, 404);
    // An address in a header is only a word.
    let server = (engine.address, engine.certificate());
    let forwarded = [("X-Forwarded-For", "192.0.2.1"), ("X-Real-IP", "192.0.2.1")];
    let target = ("POST", "/etcha/v1/push/web");
    assert_eq!(crate::harness::http::send(server, local(1), target, &forwarded, b"wrong").status, 429);
    assert_eq!(crate::harness::http::send(server, local(1), target, &forwarded, good.as_bytes()).status, 200);
    let known = ["127.0.0.1", "127.0.0.2"];
    let lines = home.lines();
    assert!(
        lines
            .iter()
            .all(|line| line.get("remote_addr").is_none_or(|from| known.contains(&from.as_str().unwrap())))
    );
}

#[test]
fn a_push_that_takes_too_long_is_ended_with_all_its_processes() {
    let home = Home::new();
    let keys = Keys::new("k");
    let engine = home.listen(&json!({
        "run": {"verifyKeys": [keys.public], "timeoutPush": "500ms"},
        "sources": {"web": {"allowPush": true}}
    }));
    let token =
        keys.sign("{run: [{id: 'a', always: true, change: 'sleep 1000 & echo $! > child; sleep 1000'}]}");
    let answer = engine.push("web", &token);
    assert_eq!(answer.status, 500);
    assert!(json(&answer)["err"].as_str().unwrap().contains("its time limit"), "{answer:?}");
    let child = fs::read_to_string(home.path("child")).unwrap();
    wait_until(SOON, "the child to be gone", || {
        // A zombie has ended; whoever reaps orphans may take its time.
        let stat = fs::read_to_string(Path::new("/proc").join(child.trim()).join("stat")).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    });
    assert_eq!(engine.push("web", &keys.sign("{run: [{id: 'a'}]}")).status, 200);
}

#[test]
fn a_push_that_was_stored_runs_on_schedule_and_after_a_restart() {
    let home = Home::new();
    let (mut engine, keys) = engine(&home, &json!({"runFrequency": "100ms"}));
    let runs = |trigger: &str| {
        let is = |line: &&Value| line["event"] == "source" && line["trigger"] == trigger;
        home.lines()
            .iter()
            .filter(is)
            .map(|line| (line["public_key"].clone(), line.get("remote_addr").cloned()))
            .collect::<Vec<_>>()
    };
    assert_eq!(engine.push("web", &keys.sign("{run: [{id: 'a', check: 'true'}]}")).status, 200);
    wait_until(SOON, "it to run on schedule", || !runs("pull").is_empty());
    assert_eq!(runs("pull")[0], (json!("deploy"), None));
    assert!(engine.process.terminate().success());
    let mut again = home.command(&["-x", "run_stateDir=state", "run"]);
    let _again = Process::start(&mut again);
    wait_until(SOON, "it to run after a restart", || !runs("init").is_empty());
}

#[test]
fn two_thousand_pushes_at_once_are_answered_and_only_the_right_ones_run() {
    /// Together two thousand: as many connections as one client may have, almost, and as many streams as one may.
    const CONNECTIONS: usize = 250;
    const STREAMS: usize = 8;
    let home = Home::new();
    let (engine, keys) = engine(&home, &json!({"runMulti": true}));
    let good: Arc<str> = keys.sign("{run: [{id: 'a'}]}").into();
    let bad: Arc<str> =
        Keys::new("deploy").sign("{run: [{id: 'evil', always: true, change: 'touch evil'}]}").into();
    let mut config = (*trusting(engine.certificate())).clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let address = engine.address;
    let statuses = runtime.block_on(async {
        // A slow machine must not make a client's handshakes time out, which is what is not tried here.
        let handshakes = Arc::new(Semaphore::new(32));
        let mut connections = JoinSet::new();
        for number in 0..CONNECTIONS {
            let (connector, good, bad) = (connector.clone(), Arc::clone(&good), Arc::clone(&bad));
            let handshakes = Arc::clone(&handshakes);
            connections.spawn(async move {
                let one = handshakes.acquire_owned().await;
                let stream = TcpStream::connect(address).await.unwrap();
                let name = ServerName::try_from("localhost").unwrap();
                let stream = connector.connect(name, stream).await.unwrap();
                drop(one);
                let (sender, connection) =
                    http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
                tokio::spawn(connection);
                let mut requests = JoinSet::new();
                for stream in 0..STREAMS {
                    let mut sender = sender.clone();
                    // A right one on every tenth connection, among wrong ones of the same client.
                    let is_good = number % 10 == 0 && stream == 0;
                    let body = if is_good { good.to_string() } else { bad.to_string() };
                    requests.spawn(async move {
                        let uri = "https://localhost/etcha/v1/push/web";
                        let request = Request::post(uri).body(body).unwrap();
                        (is_good, sender.send_request(request).await.map(|answer| answer.status()))
                    });
                }
                requests.join_all().await
            });
        }
        tokio::time::timeout(Duration::from_secs(300), connections.join_all())
            .await
            .unwrap()
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
    });
    assert_eq!(statuses.len(), CONNECTIONS * STREAMS);
    let refused =
        |status: &StatusCode| [StatusCode::NOT_FOUND, StatusCode::TOO_MANY_REQUESTS].contains(status);
    for (is_good, status) in &statuses {
        let status = status.as_ref().expect("every request is answered");
        assert!(if *is_good { *status == StatusCode::OK } else { refused(status) }, "{is_good} {status}");
    }
    assert!(!home.path("evil").exists());
    let ran = home.lines().iter().filter(|line| line["event"] == "source").count();
    assert_eq!(ran, CONNECTIONS / 10);
    assert!(!engine.process.log().contains("panicked"));
    assert_eq!(engine.push("web", &good).status, 200);
}

#[test]
fn a_webhook_sees_its_request_and_answers_by_events() {
    let home = Home::new();
    let seen = "env | grep -E '^ETCHA_(WEBHOOK|SOURCE)' | sort; echo $ETCHA_WEBHOOK_BODY | base64 -d";
    let engine = home.listen(&json!({
        "journal": {"path": "journal.jsonl"},
        "sources": {
            "a": {"webhookPaths": ["/hook", "/quiet"], "triggerOnly": true, "eventsSend": ".", "commands": [
                {"id": "a", "check": "test $ETCHA_WEBHOOK_METHOD != PUT", "change": "touch was.put", "onChange": "etcha:sent"}
            ]},
            "b": {"webhookPaths": ["/hook"], "triggerOnly": true, "commands": [
                {"id": "type", "always": true, "change": "echo text/x; echo ", "onChange": "etcha:webhookContentType"},
                {"id": "body", "always": true, "change": seen, "onChange": "etcha:webhookBody"}
            ]},
            "c": {"webhookPaths": "/fails", "triggerOnly": true, "commands": [
                {"id": "body", "always": true, "change": "echo no; false", "onFail": "etcha:webhookBody"}
            ]},
            "d": {"webhookPaths": "/empty", "triggerOnly": true},
            "raw": {"webhookPaths": ["/raw"], "triggerOnly": true, "commands": [
                {"id": "raw", "always": true, "change": "printf ' a\\377\\n'", "onChange": "etcha:webhookBody"}
            ]},
            "silent": {"webhookPaths": ["/silent"], "triggerOnly": true, "commands": [
                {"id": "silent", "always": true, "change": "true", "onChange": "etcha:webhookBody"}
            ]},
            "e": {"eventsReceive": "sent", "triggerOnly": true, "commands": [{"id": "e", "always": true, "change": "touch sent"}]}
        }
    }));
    let answer = engine.send("PUT", "/hook?b=2&a=%20", "body of it");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/x")));
    assert_eq!(
        answer.text(),
        "ETCHA_SOURCE_NAME=b\nETCHA_SOURCE_TRIGGER=webhook\nETCHA_WEBHOOK_BODY=Ym9keSBvZiBpdA==\n\
         ETCHA_WEBHOOK_HEADERS=Connection: close\nETCHA_WEBHOOK_METHOD=PUT\n\
         ETCHA_WEBHOOK_PATH=/hook\nETCHA_WEBHOOK_QUERY=a=+&b=2\nbody of it"
    );
    assert!(home.path("was.put").exists() && !home.path("sent").exists());
    assert_eq!(engine.send("GET", "/raw", "").body, b" a\xff\n");
    // Nobody answers, it fails, there is nothing to run, there is no such path, another path begins so.
    for path in ["/quiet", "/silent", "/fails", "/empty", "/hooks", "/hook/", "/"] {
        let answer = engine.send("GET", path, "");
        assert_eq!((answer.status, answer.text()), (404, "404 page not found\n"), "{path}");
    }
    assert_eq!(engine.send("POST", "/hook", &"x".repeat(70_000)).status, 413);
    let runs: Vec<_> = home
        .lines()
        .iter()
        .filter(|line| line["event"] == "source" && line["trigger"] == "webhook")
        .map(|line| {
            assert!(line.get("remote_addr").is_none());
            format!("{} {}", line["name"].as_str().unwrap(), line["error"])
        })
        .collect();
    assert_eq!(runs, ["a false", "b false", "raw false", "a false", "silent false", "c true"]);
}

#[test]
fn those_who_wait_for_one_source_keep_no_other_waiting_and_do_not_wait_for_ever() {
    let home = Home::new();
    let keys = Keys::new("k");
    // The first run, before anybody listens, ends at once; the second one is there until it may go.
    let check = "if ! test -e once; then touch once; exit 0; fi; touch busy; \
                 for i in $(seq 1200); do test -e go && exit 0; sleep 0.05; done";
    let mut engine = home.listen(&json!({
        "journal": {"path": "journal.jsonl"},
        "run": {"verifyKeys": keys.public, "timeoutPush": "2s"},
        "sources": {
            "fast": {"allowPush": true},
            "slow": {"allowPush": true, "runFrequency": "100ms", "commands": [{"id": "s", "check": check}]}
        }
    }));
    let token = keys.sign("{run: [{id: 'a'}]}");
    wait_until(SOON, "the slow run", || home.path("busy").exists());
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..5).map(|_| scope.spawn(|| engine.push("slow", &token))).collect();
        assert_eq!(engine.push("fast", &token).status, 200);
        for waiting in waiting {
            let answer = waiting.join().unwrap();
            assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
        }
    });
    home.write("go", "");
    assert!(engine.process.terminate().success());
    let pushes = home.lines().into_iter().filter(|line| line["trigger"] == "push");
    assert_eq!(pushes.map(|line| line["name"].clone()).collect::<Vec<_>>(), [json!("fast")]);
}

#[test]
fn the_readmes_engine_configuration_is_taken() {
    let home = Home::new();
    home.write("deploy.pub", &format!("{}\n", Keys::new("deploy").public));
    let directory = home.path("").to_string_lossy().trim_end_matches('/').to_owned();
    let config = crate::docs::example("engine configuration")
        .replace("/etc/etcha", &directory)
        .replace("/var/lib/etcha", &directory);
    home.write("etcha.jsonnet", &config);
    home.says(&["run", "--once"]);
    assert_eq!(events(&home), ["engine", "engine"]);
}

/// An HTTP/2 connection to the engine.
async fn http2(engine: &Engine) -> http2::SendRequest<String> {
    let mut config = (*trusting(engine.certificate())).clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(engine.address).await.unwrap();
    let stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

#[tokio::test]
async fn an_answer_to_head_has_the_length_of_a_body_and_no_body() {
    let home = Home::new();
    let engine =
        home.listen(&json!({"sources": {"h": {"webhookPaths": "/hook", "triggerOnly": true, "commands": [
            {"id": "say", "always": true, "change": "echo hello", "onChange": "etcha:webhookBody"}
        ]}}}));
    let mut sender = http2(&engine).await;
    for (path, status, length) in [("/hook", 200, "6"), ("/none", 404, "19")] {
        let request = Request::head(format!("https://localhost{path}")).body(String::new()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
        assert_eq!(answer.headers()["content-length"].to_str().unwrap(), length);
        let mut body = pin!(answer.into_body());
        // An error would be a broken protocol.
        while let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
            assert_eq!(frame.unwrap().into_data().unwrap_or_default().len(), 0);
        }
    }
}
