//! Tokens that are meant for one engine: what another one, or a later moment, makes of them; and which keys are for what.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::Arc,
    thread,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use engine::{
    jsonnet::Imports,
    program::now,
    wire::{
        bound::{Bound, key_text},
        key::SigningKey,
        shell::Request,
        token::Claims,
    },
};
use serde_json::{Value, json};
use tokio_rustls::rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use crate::harness::wait::{SOON, wait_until};

use super::{
    Home,
    peer::{self, Engine, Keys},
    shells::{client, operator, piped},
    text,
};

/// An engine whose Source `web` takes pushes and opens shells for `keys`, with further settings.
fn engine(home: &Home, keys: &Keys, run: &Value, web: &Value) -> Engine {
    let mut all = json!({"verifyKeys": keys.public});
    all.as_object_mut().unwrap().extend(run.as_object().unwrap().clone());
    let mut source = json!({"allowPush": true, "shell": {"command": "/bin/sh"}});
    source.as_object_mut().unwrap().extend(web.as_object().unwrap().clone());
    home.listen(&json!({"journal": {"path": "journal.jsonl"}, "run": all, "sources": {"web": source, "other": source}}))
}

/// The digest of the key of the certificate that an engine shows.
fn key_of(engine: &Engine) -> [u8; 32] {
    let certificate = CertificateDer::from_pem_file(engine.certificate()).unwrap();
    https::certificate::key_digest(&certificate).unwrap()
}

fn claims(program: &str) -> Claims {
    Claims { pattern: Some(Imports::of_text(program)), ..Claims::default() }
}

/// Takes one request as an engine would, answers it with `answer`, and says what its body was: a host in wrong hands.
fn eavesdropper(home: &Home, answer: &'static str) -> (u16, thread::JoinHandle<String>) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    home.write("evil.pem", &made.cert.pem());
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth();
    let config = Arc::new(config.with_single_cert(vec![made.cert.der().clone()], key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
        let mut request = Vec::new();
        let body = loop {
            let mut part = [0; 4096];
            let read = stream.read(&mut part).unwrap();
            request.extend_from_slice(&part[..read]);
            let text = String::from_utf8(request.clone()).unwrap();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.to_lowercase();
            let length =
                length.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap().to_owned();
            if body.len() == length.parse::<usize>().unwrap() {
                break body.to_owned();
            }
        };
        stream.write_all(answer.as_bytes()).unwrap();
        body
    });
    (port, heard)
}

fn payload(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[test]
fn a_host_that_was_spoken_to_can_pass_nothing_on_to_another_one() {
    let (home, keys) = (Home::new(), Keys::new("ops"));
    let engine = engine(&home, &keys, &json!({}), &json!({}));
    const NO: &str = "HTTP/1.1 500 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    for (task, program) in [("shell", None), ("push", Some("touch evil"))] {
        let (port, heard) = eavesdropper(&home, NO);
        operator(&home, &keys, &engine, "operator.json");
        let port = port.to_string();
        let mut arguments = vec!["-c", "operator.json", "-x", "httpClient_tlsCAPath=evil.pem", task];
        arguments.extend(["--host", "127.0.0.1", "--port", &port, "web"]);
        arguments.extend(program);
        home.run(&arguments);
        let token = heard.join().unwrap();
        let bound = &payload(&token)["etchaBound"];
        assert_eq!(bound["source"], "web");
        let certificate = CertificateDer::from_pem_file(home.path("evil.pem")).unwrap();
        let evil = key_text(&https::certificate::key_digest(&certificate).unwrap());
        assert_eq!(bound["aud"], evil.as_str());
        assert!(bound["exp"].as_i64().unwrap() <= now() + 60);
        let answer = engine.send("POST", &format!("/etcha/v1/{task}/web"), &token);
        assert_eq!((answer.status, answer.text()), (404, ""), "{task}");
    }
    let refusals = || engine.process.log().matches("the token is bound to another engine").count();
    wait_until(SOON, "both refusals in the log", || refusals() == 2);
    assert!(!home.path("evil").exists());
    let events: Vec<_> = home.lines().iter().map(|line| line["event"].clone()).collect();
    assert!(!events.contains(&json!("shell")) && !events.contains(&json!("command")), "{events:?}");
}

#[test]
fn a_bound_push_is_taken_once_by_its_source() {
    let (home, keys) = (Home::new(), Keys::new("ops"));
    let engine = engine(&home, &keys, &json!({}), &json!({}));
    let bound = Bound::new(&key_of(&engine), "web", now(), 60).unwrap();
    let token = keys.sign_claims(&Claims { bound: Some(bound), ..claims("{run: [{id: 'a'}]}") });
    assert_eq!(engine.push("other", &token).status, 404);
    assert_eq!(engine.push("web", &token).status, 200);
    assert_eq!(engine.push("web", &token).status, 404);
    engine.process.logged("the token is bound to another source");
    engine.process.logged("the token was used before");
}

#[test]
fn input_of_a_shell_is_taken_once_and_in_order() {
    let (home, keys) = (Home::new(), Keys::new("ops"));
    let engine = engine(&home, &keys, &json!({}), &json!({}));
    let key = SigningKey::read(&keys.private).unwrap();
    let token = |session: Option<&str>, number: u64, input: &str| {
        let bound = Bound { number, ..Bound::new(&key_of(&engine), "web", now(), 5).unwrap() };
        let session = session.map(str::to_owned);
        let input = input.as_bytes().to_vec();
        Request { session, input, bound: Some(bound), ..Request::default() }.sign(&key, now()).unwrap()
    };
    let ask = |token: &str| engine.send("POST", "/etcha/v1/shell/web", token).status;
    let opening = token(None, 1, "");
    let mut shell = engine.open("/etcha/v1/shell/web", &opening);
    let session = shell.line();
    let first = token(Some(&session), 2, "echo one >> typed\n");
    assert_eq!((ask(&first), ask(&first)), (200, 404));
    assert_eq!(ask(&token(Some(&session), 2, "echo late >> typed\n")), 404);
    assert_eq!(ask(&token(Some(&session), 7, "echo two >> typed; exit\n")), 200);
    shell.read_to_end();
    assert_eq!(std::fs::read_to_string(home.path("typed")).unwrap(), "one\ntwo\n");
    // The request that opened it opens no other one.
    assert_eq!(ask(&opening), 404);
}

#[test]
fn clients_that_bind_nothing_open_shells_only_where_a_setting_says_so() {
    let keys = Keys::new("ops");
    let key = SigningKey::read(&keys.private).unwrap();
    for (accepted, push, shell) in
        [(None, 200, 404), (Some(json!([])), 404, 404), (Some(json!(["push", "shell"])), 200, 200)]
    {
        let home = Home::new();
        let run = accepted.clone().map_or(json!({}), |accepted| json!({"acceptUnbound": accepted}));
        let engine = engine(&home, &keys, &run, &json!({"shell": {"command": "/bin/true"}}));
        let opening = Request::default().sign(&key, now()).unwrap();
        assert_eq!(engine.send("POST", "/etcha/v1/shell/web", &opening).status, shell, "{accepted:?}");
        let pushed = keys.sign_claims(&claims("{run: [{id: 'a'}]}"));
        assert_eq!(engine.push("web", &pushed).status, push, "{accepted:?}");
    }
}

#[test]
fn a_pattern_for_another_audience_is_refused() {
    let (home, keys) = (Home::new(), Keys::new("ops"));
    let engine = engine(&home, &keys, &json!({"audiences": ["prod"]}), &json!({}));
    let push = |audience: &[&str]| {
        let audience = audience.iter().map(|name| (*name).to_owned()).collect();
        engine.push("web", &keys.sign_claims(&Claims { audience, ..claims("{run: [{id: 'a'}]}") })).status
    };
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let own = key_text(&key_of(&engine));
    assert_eq!([push(&[]), push(&[&own]), push(&["prod"]), push(&["other", &name])], [200; 4]);
    assert_eq!([push(&["other.example"]), push(&[&key_text(&[0; 32])])], [404; 2]);
    assert!(
        engine
            .process
            .log()
            .contains("the token is for the audience other.example, which this engine is not")
    );
}

#[test]
fn a_pattern_that_is_older_than_the_one_in_force_is_refused_also_after_a_restart() {
    let (home, keys) = (Home::new(), Keys::new("ops"));
    let issued = |seconds: i64| {
        let program = format!("{{run: [{{id: 'at {seconds}'}}]}}");
        keys.sign_claims(&Claims { issued: Some(now() + seconds), ..claims(&program) })
    };
    let (old, new) = (issued(-100), issued(-10));
    let nameless = keys.sign_claims(&claims("{run: [{id: 'no time'}]}"));
    let first = engine(&home, &keys, &json!({}), &json!({}));
    let push = |engine: &Engine, token: &str| engine.push("web", token).status;
    assert_eq!(
        [push(&first, &nameless), push(&first, &old), push(&first, &new), push(&first, &new)],
        [200; 4]
    );
    for token in [&old, &nameless] {
        let answer = first.push("web", token);
        let said = "the pattern is older than the current one; build it again, or set `pushAllowOlder`";
        assert_eq!((answer.status, &peer::json(&answer)["err"]), (500, &json!(said)));
    }
    let ran = home.lines().iter().filter(|line| line["trigger"] == "push").count();
    assert_eq!(ran, 4);
    drop(first);
    let second = engine(&home, &keys, &json!({}), &json!({}));
    assert_eq!([push(&second, &old), push(&second, &new)], [500, 200]);
    drop(second);
    let third = engine(&home, &keys, &json!({}), &json!({"pushAllowOlder": true}));
    assert_eq!([push(&third, &old), push(&third, &nameless)], [200; 2]);
}

#[test]
fn a_key_for_patterns_opens_no_shell_where_shells_have_keys_and_the_other_way_around() {
    let home = Home::new();
    let (deploy, ops) = (Keys::new("deploy"), Keys::new("ops"));
    let engine = engine(&home, &deploy, &json!({"shellKeys": ops.public}), &json!({}));
    let shell = |keys: &Keys| {
        operator(&home, keys, &engine, "operator.json");
        let output = piped(client(&home, &["web"]), b"exit 5\n");
        output.status.code()
    };
    let push = |keys: &Keys| engine.push("web", &keys.sign("{run: [{id: 'a'}]}")).status;
    assert_eq!((shell(&ops), shell(&deploy)), (Some(5), Some(255)));
    assert_eq!((push(&deploy), push(&ops)), (200, 404));
}

#[test]
fn a_shell_without_tls_is_refused_and_the_client_says_what_may_be_the_cause() {
    let (home, keys) = (Home::new(), Keys::new("ops"));
    let (port, heard) = plain();
    home.write(
        "operator.json",
        &json!({"build": {"signingKey": keys.private}, "targets": {"a": {"hostname": "127.0.0.1", "port": port, "insecure": true}}})
            .to_string(),
    );
    let output = home.run(&["-c", "operator.json", "shell", "web"]);
    assert!(payload(&heard.join().unwrap()).get("etchaBound").is_none());
    assert!(
        text(&output.stderr).contains("does not trust the token (key, clock, no TLS)"),
        "{}",
        text(&output.stderr)
    );
}

/// Answers one request without TLS as an engine that refuses, and says what its body was.
fn plain() -> (u16, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = String::new();
        while request.split_once("\r\n\r\n").is_none_or(|(_, body)| body.split('.').count() < 3) {
            let mut part = [0; 4096];
            let read = stream.read(&mut part).unwrap();
            request.push_str(str::from_utf8(&part[..read]).unwrap());
        }
        stream
            .write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .unwrap();
        request.split_once("\r\n\r\n").unwrap().1.to_owned()
    });
    (port, heard)
}
