//! What those without a key can do to a listening engine: cost it no more than their bytes, and keep no right request out.

use std::time::Instant;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hyper::{Request, body::Bytes};
use serde_json::json;
use tokio::task::JoinSet;

use super::{
    Home,
    peer::{Engine, Keys, local},
};
use crate::harness::{http, wait::SOON};

/// What an engine may take at most while it is under attack, in KiB. A debug build takes more than it will in service.
const MEMORY: u64 = 64 * 1024;

/// An engine that takes pushes and hooks, and the key that signs for it.
fn engine(home: &Home) -> (Engine, Keys) {
    let keys = Keys::new("deploy");
    let engine = home.listen(&json!({
        "run": {"verifyKeys": keys.public, "timeoutPush": "20s"},
        "sources": {
            "web": {"allowPush": true, "shell": {"command": "/bin/sh"}},
            "hook": {"webhookPaths": ["/hook"], "triggerOnly": true, "commands": [
                {"id": "say", "always": true, "change": "echo hi", "onChange": "etcha:webhookBody"}
            ]}
        }
    }));
    (engine, keys)
}

/// A token of about so many bytes whose parts are a burden to those who build them before they verify them.
fn bomb(kind: usize, bytes: usize) -> String {
    let unit = ["{\"\":0},", "[", "\"a\",", "{\"a\":", "0,", "\"\\u0000\","][kind % 6];
    let filling = unit.repeat(bytes * 3 / 4 / unit.len());
    let encode = |text: String| URL_SAFE_NO_PAD.encode(text);
    if kind.is_multiple_of(2) {
        format!("{}.e30.AAAA", encode(format!("{{\"alg\":\"EdDSA\",\"crit\":[{filling}]}}")))
    } else {
        let header = encode("{\"alg\":\"EdDSA\"}".to_owned());
        format!("{header}.{}.{}", encode(format!("{{\"etchaRunVars\":{{\"a\":[{filling}")), "A".repeat(86))
    }
}

#[test]
fn a_thousand_hostile_requests_cost_no_more_than_their_bytes() {
    const THREADS: usize = 20;
    const REQUESTS: usize = 50;
    let home = Home::new();
    let (engine, keys) = engine(&home);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let engine = &engine;
            scope.spawn(move || {
                for number in 0..REQUESTS {
                    // Now and then as much as is read, or more.
                    let bytes = match number {
                        0 => 4_000_000,
                        1 if thread % 4 == 0 => 16_000_000,
                        _ => 120_000,
                    };
                    let (kind, from) = (thread + number, local(u8::try_from(2 + thread).unwrap()));
                    let path = if number % 5 == 4 { "/etcha/v1/shell/web" } else { "/etcha/v1/push/web" };
                    let status = engine.send_from(from, "POST", path, &bomb(kind, bytes)).status;
                    assert!([404, 413, 429, 503].contains(&status), "{status}");
                }
            });
        }
    });
    let peak = engine.process.status_number("VmHWM");
    assert!(peak < MEMORY, "{peak} KiB");
    assert_eq!(engine.push("web", &keys.sign("{run: [{id: 'a'}]}")).status, 200);
}

/// Connections with requests whose bodies never end, of which each has sent so many bytes. They last as long as this.
struct Crowd {
    runtime: tokio::runtime::Runtime,
    requests: Vec<(h2::client::ResponseFuture, h2::SendStream<Bytes>)>,
}

/// As many as one client may have, almost, and as many streams as each may.
const CONNECTIONS: usize = 250;
const STREAMS: usize = 8;

impl Crowd {
    fn gather(engine: &Engine, path: &str, bytes: usize) -> Crowd {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.unwrap();
        let (address, certificate) = (engine.address, engine.certificate().to_owned());
        let uri = format!("https://localhost{path}");
        let requests = runtime.block_on(async {
            let mut connections = JoinSet::new();
            let mut requests = Vec::new();
            for _ in 0..CONNECTIONS {
                let (certificate, uri) = (certificate.clone(), uri.clone());
                connections.spawn(async move {
                    let stream = http::secured_h2(address, &certificate).await;
                    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
                    tokio::spawn(connection);
                    let mut sent = Vec::new();
                    for _ in 0..STREAMS {
                        client = client.ready().await.unwrap();
                        let request = Request::post(&uri).body(()).unwrap();
                        let (answer, mut body) = client.send_request(request, false).unwrap();
                        body.send_data(vec![b'x'; bytes].into(), false).unwrap();
                        sent.push((answer, body));
                    }
                    sent
                });
                // A slow machine must not make handshakes time out.
                if connections.len() >= 32 {
                    requests.extend(connections.join_next().await.unwrap().unwrap());
                }
            }
            requests.extend(connections.join_all().await.into_iter().flatten());
            requests
        });
        Crowd { runtime, requests }
    }

    /// How many were sent, once the engine has read what came.
    fn len(&self) -> usize {
        self.requests.len()
    }
}

#[test]
fn slow_webhooks_keep_no_right_request_out() {
    let home = Home::new();
    let (engine, keys) = engine(&home);
    let crowd = Crowd::gather(&engine, "/hook", 60_000);
    assert_eq!(crowd.len(), CONNECTIONS * STREAMS);
    let begin = Instant::now();
    assert_eq!(engine.push("web", &keys.sign("{run: [{id: 'a'}]}")).status, 200);
    let answer = engine.send("POST", "/hook", "x");
    assert_eq!((answer.status, answer.text()), (200, "hi\n"));
    assert!(begin.elapsed() < SOON / 2, "{:?}", begin.elapsed());
    let peak = engine.process.status_number("VmHWM");
    assert!(peak < MEMORY, "{peak} KiB");
    crowd.runtime.shutdown_background();
}

#[test]
fn slow_pushes_keep_no_right_push_out_not_even_one_of_their_own_client() {
    let home = Home::new();
    let (engine, keys) = engine(&home);
    let crowd = Crowd::gather(&engine, "/etcha/v1/push/web", 40_000);
    let peak = engine.process.status_number("VmHWM");
    assert!(peak < MEMORY, "{peak} KiB");
    let begin = Instant::now();
    let long = format!("{{run: [{{id: 'a'}}], x:: '{}'}}", "x".repeat(1_000_000));
    assert_eq!(engine.push("web", &keys.sign(&long)).status, 200);
    assert_eq!(engine.push_from(local(2), "web", &keys.sign("{run: [{id: 'b'}]}")).status, 200);
    assert!(begin.elapsed() < SOON / 2, "{:?}", begin.elapsed());
    crowd.runtime.shutdown_background();
}

#[test]
fn a_token_that_is_too_long_is_answered_413_and_the_limit_is_a_setting() {
    let home = Home::new();
    let keys = Keys::new("deploy");
    let engine = home.listen(&json!({
        "run": {"verifyKeys": keys.public, "maxTokenBytes": 5000},
        "sources": {"web": {"allowPush": true}}
    }));
    let push = |bytes: usize| {
        let program = format!("{{run: [{{id: 'a'}}], x:: '{}'}}", "x".repeat(bytes));
        engine.push("web", &keys.sign(&program)).status
    };
    assert_eq!((push(3000), push(5000)), (200, 413));
    engine.process.logged("the token is longer than `run_maxTokenBytes`");
}
