//! Patterns that are pushed: who may, what they replace, and what the journal says of them.

use super::*;

#[test]
fn a_push_that_fails_leaves_what_was_there_and_one_that_only_asks_too() {
    let host = Host::new();
    let (sources, _stopper) = host.start(&json!({"web": {"allowPush": true}}));
    push(&host, &sources, false, "{run: [{id: 'a', check: 'test -e a', change: 'touch a', remove: 'rm a'}]}");
    let kept = host.read("state/web.jwt");
    let failed = push(&host, &sources, false, "{run: [{id: 'bad', always: true, change: 'false'}]}");
    assert_eq!(failed.err, "changing web > bad: exit status 1");
    assert_eq!(failed.removed_ids, Some(vec!["a".to_owned()]));
    fs::write(host.path("a"), "").unwrap();
    let asked = push(&host, &sources, true, "{run: [{id: 'b', check: 'false', change: 'touch b'}]}");
    assert_eq!(
        (asked.changed_ids, asked.removed_ids),
        (Some(vec!["b".to_owned()]), Some(vec!["a".to_owned()]))
    );
    assert_eq!(host.read("state/web.jwt"), kept);
    let runs = host.runs();
    assert_eq!(runs, ["web push false 1 0 k1", "web push true 1 1 k1", "web push false 0 0 k1"]);
}

#[test]
fn a_push_to_a_source_that_only_events_run_is_stored() {
    let host = Host::new();
    let (sources, _stopper) = host.start(&json!({
        "web": {"allowPush": true, "triggerOnly": true, "webhookPaths": "/hook"}
    }));
    let program = "{run: [{id: 'a', always: true, change: 'echo hi', onChange: 'etcha:webhookBody'}]}";
    assert_eq!(push(&host, &sources, false, program), PushResult::default());
    assert!(host.path("state/web.jwt").exists());
    let answer = sources.runtime.block_on(sources.webhook("web", &webhook::Hook::default()));
    let answer = answer.unwrap().unwrap();
    assert_eq!((answer.body.as_slice(), answer.content_type), (&b"hi\n"[..], None));
    assert_eq!(host.runs(), ["web push false - - k1", "web webhook false 1 0 -"]);
}

#[test]
fn who_may_push_is_decided_by_the_source_and_its_keys() {
    let host = Host::new();
    let other = Host::new();
    let (sources, _stopper) = host.start(&json!({
        "web": {"allowPush": true},
        "shared": {"allowPush": true, "verifyKeys": other.public.replace(":k1", ":k2")},
        "closed": {}
    }));
    let (own, foreign) = (host.token("{run: [{id: 'a'}]}"), other.token("{run: [{id: 'a'}]}"));
    let key = |name: &str, token: &str| {
        sources.verify_push(name, token, &Guard::new(None)).map(|token| token.key_id().to_owned())
    };
    assert_eq!(key("web", &own).unwrap(), "k1");
    // The id is the receiver's, whatever the token says.
    assert_eq!(key("shared", &foreign).unwrap(), "k2");
    assert_eq!(key("shared", &own).unwrap(), "k1");
    assert_eq!(key("web", &foreign), Err(push::PushRefusal::Token(token::TokenError::NotVerified)));
    assert_eq!(key("closed", &own), Err(push::PushRefusal::NotAllowed));
    assert_eq!(key("none", &own), Err(push::PushRefusal::Unknown));
}

#[test]
fn a_push_that_waits_compares_with_what_the_one_before_it_left() {
    let host = Host::new();
    let (sources, _stopper) = host.start(&json!({"web": {"allowPush": true}}));
    let undo = |id: &str| {
        format!(
            "{{run: [{{id: '{id}', check: 'test -e {id}', change: 'sleep 0.1; touch {id}', remove: 'rm {id}'}}]}}"
        )
    };
    let pushes = ["a", "b", "c", "d"].map(|id| {
        let (push, sources) = (to_push(&host, &sources, false, &undo(id)), Arc::clone(&sources));
        async move { sources.push(push).await.unwrap() }
    });
    let pushes = pushes.map(|push| sources.runtime.spawn(push));
    for push in pushes {
        assert_eq!(sources.runtime.block_on(push).unwrap().err, "");
    }
    // Each removed the one before it, so the last one is alone.
    let left = ["a", "b", "c", "d"].iter().filter(|id| host.path(id).exists()).count();
    assert_eq!(left, 1);
}

/// Pushes what a filter lets through.
fn push_filtered(host: &Host, sources: &Engine, filter: &str, program: &str) -> PushResult {
    let mut push = to_push(host, sources, false, program);
    push.filter = Some(regex::Regex::new(filter).unwrap());
    let pushed = sources.runtime.block_on(sources.push(push)).unwrap();
    sources.settle();
    pushed
}

#[test]
fn what_a_push_with_a_filter_did_not_remove_is_removed_by_the_next_whole_one() {
    let host = Host::new();
    let web = json!({"web": {"allowPush": true}});
    let (sources, stopper) = host.start(&web);
    let undo =
        |id: &str| format!("{{id: '{id}', check: 'test -e {id}', change: 'touch {id}', remove: 'rm {id}'}}");
    let group = |id: &str, commands: &[&str]| {
        let commands: Vec<_> = commands.iter().map(|id| undo(id)).collect();
        format!("{{id: '{id}', commands: [{}]}}", commands.join(","))
    };
    push(&host, &sources, false, &format!("{{run: [{}, {}]}}", group("app", &["a"]), group("db", &["old"])));
    let second = format!("{{run: [{}]}}", group("app", &["a", "b"]));
    assert_eq!(push_filtered(&host, &sources, "web > app", &second).changed_ids, Some(vec!["b".to_owned()]));
    assert!(host.path("old").exists());
    // Also after a restart, and what came with the filter is known as well.
    drop((sources, stopper));
    let (sources, _stopper) = host.start(&web);
    assert_eq!(push(&host, &sources, true, &second).removed_ids, Some(vec!["old".to_owned()]));
    let third = format!("{{run: [{}]}}", group("app", &["a"]));
    let pushed = push(&host, &sources, false, &third);
    assert_eq!(pushed.removed_ids, Some(vec!["b".to_owned(), "old".to_owned()]));
    assert!(!host.path("old").exists() && !host.path("b").exists() && host.path("a").exists());
    assert_eq!(push(&host, &sources, false, &third), PushResult::default());
    assert!(!host.path("state/web.pending.json").exists());
}

#[test]
fn what_was_pushed_is_named_in_the_journal() {
    let host = Host::new();
    let (sources, _stopper) = host.start(&json!({"web": {"allowPush": true}}));
    let push = |id: &str| {
        let pattern = Some(Imports::of_text("{run: [{id: 'a'}]}"));
        let claims =
            Claims { pattern, id: id.to_owned(), subject: "ticket 7".to_owned(), ..Claims::default() };
        let text = token::sign(&claims, &SigningKey::read(&host.private).unwrap()).unwrap();
        let token = sources.verify_push("web", &text, &Guard::new(None)).unwrap();
        let (source, remote_addr) = ("web".to_owned(), "192.0.2.7".to_owned());
        let push = push::PushRequest { source, token, check: false, filter: None, remote_addr };
        sources.runtime.block_on(sources.push(push)).unwrap();
        host.lines().pop().unwrap()
    };
    let (first, second) = (push("deploy-42"), push(&"x".repeat(300)));
    assert_eq!((&first["token_id"], &first["subject"]), (&json!("deploy-42"), &json!("ticket 7")));
    assert_eq!(second["token_id"].as_str().unwrap().len(), 200);
    // sha256sum of {"entrypoint":"/main.jsonnet","files":{"/main.jsonnet":"{run: [{id: 'a'}]}"}}
    let digest = "55000d9c11be3fa553a45e3571054afbba7ca434e65095e5ad6270830ca61ecf";
    assert_eq!((&first["digest"], &second["digest"]), (&json!(digest), &json!(digest)));
    assert!(
        host.lines()
            .iter()
            .filter(|line| line["event"] == "command")
            .all(|line| line.get("digest").is_none())
    );
}
