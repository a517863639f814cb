//! What one Source sets off in others: events of its Commands, and the engine's own.

use super::*;

#[test]
fn events_run_those_who_receive_them_with_what_happened() {
    let host = Host::new();
    let seen = "env | grep -E '^ETCHA_(EVENT|SOURCE)' | sort >> seen";
    let (sources, _stopper) = host.start(&json!({
        "sender": {
            "eventsSend": "^made$",
            "eventsReceive": "made",
            "commands": [{"id": "m", "always": true, "change": "echo ' out '", "onChange": ["etcha:made", "etcha:kept"]}]
        },
        "receiver": {
            "eventsReceive": ["made", "kept"], "triggerOnly": true, "checkOnly": true,
            "eventsSend": ".", "commands": [{"id": "r", "always": true, "change": seen, "onChange": "etcha:made"}]
        },
        "other": {"eventsReceive": "else", "triggerOnly": true, "commands": [{"id": "o", "always": true, "change": "touch else"}]}
    }));
    assert_eq!(sources.run("receiver", Trigger::Init), Outcome::Done);
    sources.run("sender", Trigger::Init);
    assert_eq!(
        host.read("seen"),
        "ETCHA_EVENT_ID=m ETCHA_EVENT_NAME=made ETCHA_EVENT_OUTPUT=out ETCHA_EVENT_PUBLIC_KEY= ETCHA_EVENT_SRC= \
         ETCHA_SOURCE_NAME=receiver ETCHA_SOURCE_TRIGGER=event"
    );
    assert!(!host.path("else").exists());
    assert_eq!(host.runs(), ["sender init false 1 0 -", "receiver event false 1 0 -"]);
}

#[test]
fn a_command_ends_the_engine_after_those_who_receive_its_events() {
    let host = Host::new();
    let (sources, _stopper) = host.start(&json!({
        "a": {"eventsSend": "last", "commands": [
            {"id": "new", "always": true, "change": "true", "onChange": ["etcha:exit", "etcha:last"]}
        ]},
        "b": {"eventsReceive": "last", "triggerOnly": true, "commands": [{"id": "r", "always": true, "change": "touch last"}]}
    }));
    assert_eq!(sources.run("a", Trigger::Pull), Outcome::Done);
    assert!(host.path("last").exists() && sources.is_stopping());
}

#[test]
fn events_of_a_failed_run_still_arrive() {
    let host = Host::new();
    let (sources, _stopper) = host.start(&json!({
        "a": {"eventsSend": ".", "commands": [{"id": "bad", "always": true, "change": "false", "onFail": "etcha:alarm"}]},
        "b": {"eventsReceive": "alarm", "triggerOnly": true, "commands": [{"id": "r", "always": true, "change": "touch alarm"}]}
    }));
    assert_eq!(sources.run("a", Trigger::Pull), Outcome::Failed);
    assert!(host.path("alarm").exists());
}

/// A Source that notes in `heard` each event that it receives.
fn listener(events: &[&str]) -> Value {
    json!({"eventsReceive": events, "triggerOnly": true, "commands": [{
        "id": "note", "always": true,
        "change": "echo $ETCHA_EVENT_NAME:$ETCHA_EVENT_ID:$ETCHA_EVENT_OUTPUT:$ETCHA_EVENT_PUBLIC_KEY:$ETCHA_EVENT_SRC >> heard"
    }]})
}

#[test]
fn the_engines_own_events_tell_what_was_done_to_which_source_and_why_it_failed() {
    let host = Host::new();
    host.sign("web.jwt", "{run: [{id: 'a', check: 'true'}]}");
    let mut config = host.pulling();
    config["web"]["allowPush"] = json!(true);
    config["static"] = json!({"commands": [{"id": "s", "check": "true"}]});
    config["audit"] = listener(&["pull", "push", "shell"]);
    let (sources, _stopper) = host.start(&config);
    // What nobody signed is no pull.
    sources.run("static", Trigger::Init);
    sources.run("web", Trigger::Pull);
    push(&host, &sources, false, "{run: [{id: 'b', always: true, change: 'echo no; exit 3'}]}");
    push(&host, &sources, true, "{run: [{id: 'c', always: true, change: 'true'}]}");
    let cause =
        crate::agent::source::events::Cause { source: "web", public_key: "k2", remote_addr: "2001:db8::1" };
    sources.runtime.block_on(async { sources.send_system(System::Shell, cause, "") });
    sources.settle();
    assert_eq!(
        host.read("heard"),
        "pull:web::k1: push:web:changing web > b: exit status 3: no:k1:192.0.2.7 shell:web::k2:2001:db8::1"
    );
    let lines = host.lines();
    let audits: Vec<_> =
        lines.iter().filter(|line| line["event"] == "source" && line["name"] == "audit").collect();
    assert_eq!(audits.len(), 3);
    assert_eq!((&audits[1]["public_key"], &audits[1]["remote_addr"]), (&json!("k1"), &json!("192.0.2.7")));
}

#[test]
fn no_push_waits_for_those_who_receive_its_events() {
    let host = Host::new();
    let wait = "until test -e go; do sleep 0.01; done; ";
    let mut other = listener(&["made"]);
    let note = other["commands"][0]["change"].as_str().unwrap().to_owned();
    other["commands"][0]["change"] = json!(format!("{wait}{note}"));
    let (sources, _stopper) =
        host.start(&json!({"web": {"allowPush": true, "eventsSend": "."}, "other": other}));
    let program =
        "{run: [{id: 'a', always: true, change: 'echo out', onChange: ['etcha:made', 'etcha:exit']}]}";
    let push = to_push(&host, &sources, false, program);
    let pushed = sources.runtime.block_on(async { timeout(SOON, sources.push(push)).await }).unwrap();
    assert!(pushed.unwrap().exit && !host.path("heard").exists() && !sources.stop.is_asked());
    fs::write(host.path("go"), "").unwrap();
    assert!(sources.is_stopping());
    assert_eq!(host.read("heard"), "made:a:out:k1:192.0.2.7");
}
