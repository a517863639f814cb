//! Programs that render, and those that must not harm.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;

use serde_json::json;

use super::*;
use crate::exec::Exec;

fn natives() -> Natives {
    Natives::new(json!({"vars": {"n": 1, "list": [true, null, "x"]}}), &Exec::default())
}

fn rendered(text: &str) -> Result<Value, String> {
    render(&Imports::of_text(text), &natives()).map_err(|error| error.to_string())
}

#[test]
fn json_and_jsonnet_are_rendered() {
    assert_eq!(rendered(r#"{"a": [1, 2.5, "ü"]}"#).unwrap(), json!({"a": [1, 2.5, "ü"]}));
    assert_eq!(rendered("local f(x) = x + 1; {a: f(1), b:: 2}").unwrap(), json!({"a": 2}));
}

#[test]
fn native_functions_answer() {
    let config = rendered("std.native('getConfig')().vars").unwrap();
    assert_eq!(config, json!({"n": 1, "list": [true, null, "x"]}));
    assert_eq!(rendered("std.native('getEnv')('NO_SUCH_VARIABLE', 'f')").unwrap(), json!("f"));
    assert_eq!(rendered("std.native('getEnv')('PATH', null) != ''").unwrap(), json!(true));
    assert_eq!(rendered("std.native('getFile')('/no/such', 'f')").unwrap(), json!("f"));
    assert_eq!(rendered("std.native('regexMatch')('^a+$', 'aaa')").unwrap(), json!(true));
}

#[test]
fn the_environment_is_the_one_that_scripts_see() {
    let exec = Exec {
        env: BTreeMap::from([("OWN".to_owned(), "1".to_owned())]),
        env_inherit: false,
        ..Exec::default()
    };
    let text = "[std.native('getEnv')(key, '-') for key in ['OWN', 'PATH']]";
    let value = render(&Imports::of_text(text), &Natives::new(Value::Null, &exec)).unwrap();
    assert_eq!(value, json!(["1", "-"]));
}

#[test]
fn a_file_is_read_while_rendering() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, "content").unwrap();
    let text = format!("std.native('getFile')('{}', null)", path.display());
    assert_eq!(rendered(&text).unwrap(), json!("content"));
}

#[test]
fn errors_say_where_and_what() {
    let cases = [
        ("{\n  a: b }", "/main.jsonnet:2:6: there is no variable `b`"),
        ("{a: 1", "/main.jsonnet:1:6: something else is expected here"),
        ("error 'no'", "/main.jsonnet:1:1: error: no"),
        ("'abc", "/main.jsonnet:1:1: unfinished string"),
        ("{}.a", "/main.jsonnet:1:1: there is no field `a`"),
        ("local f(x) = f(x + 1) + 1; f(1)", "calls are nested too deep"),
        ("import 'other'", "/main.jsonnet:1:1: `other` is not among the files of the program"),
        (
            "std.native('getEnv')('NO_SUCH_VARIABLE', null)",
            "getEnv: there is no variable `NO_SUCH_VARIABLE`; give a fallback",
        ),
        ("std.native('regexMatch')('(', '')", "regexMatch: `(` is no regular expression"),
        ("{f(x): x}", "a function cannot become JSON"),
    ];
    for (text, expected) in cases {
        let error = rendered(text).unwrap_err();
        assert!(error.ends_with(expected), "{text}: {error}");
    }
}

#[test]
fn a_program_takes_its_imports_along() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["patterns", "lib"] {
        fs::create_dir(directory.path().join(name)).unwrap();
    }
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    write("patterns/main.jsonnet", "local n = import '../lib/n.libsonnet'; {n: n, s: importstr 'text.txt'}");
    write("patterns/text.txt", "text ' that is no Jsonnet");
    write("lib/n.libsonnet", "(import 'more.libsonnet') + 1 // import 'comment'");
    write("lib/more.libsonnet", "41");
    let imports = Imports::of_path(&directory.path().join("patterns/main.jsonnet")).unwrap();
    let names: Vec<_> = imports.files.keys().map(String::as_str).collect();
    assert_eq!(imports.entrypoint, "/patterns/main.jsonnet");
    assert_eq!(
        names,
        ["/lib/more.libsonnet", "/lib/n.libsonnet", "/patterns/main.jsonnet", "/patterns/text.txt"]
    );
    let expected = json!({"n": 42, "s": "text ' that is no Jsonnet"});
    assert_eq!(render(&imports, &natives()).unwrap(), expected);
    drop(directory);
    assert_eq!(render(&imports, &natives()).unwrap(), expected);
}

#[test]
fn an_import_is_found_with_fewer_leading_directories() {
    let files = BTreeMap::from([("/lib/a.libsonnet".to_owned(), "1".to_owned())]);
    let imports = Imports { entrypoint: String::new(), files };
    let name = |importer, path| imports.resolve(importer, path).map(|(name, _)| name);
    assert_eq!(name("/deep/down/main.jsonnet", "lib/a.libsonnet"), Some("/lib/a.libsonnet"));
    assert_eq!(name("/main.jsonnet", "../../vendor/lib/a.libsonnet"), Some("/lib/a.libsonnet"));
    assert_eq!(name("/main.jsonnet", "a.libsonnet"), None);
}

#[test]
fn a_missing_import_names_its_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("main.jsonnet");
    fs::write(&path, "import 'missing.libsonnet'").unwrap();
    let error = Imports::of_path(&path).unwrap_err().to_string();
    assert!(error.contains("missing.libsonnet: cannot be read: No such file"), "{error}");
}

#[test]
fn a_program_that_does_not_end_costs_its_time_and_no_more() {
    // Ends by itself some time after it was given up.
    let slow = "std.foldl(function(sum, n) sum + n, std.range(1, 300000), 0)";
    let error = render_within(&Imports::of_text(slow), &natives(), Duration::from_millis(1)).unwrap_err();
    assert_eq!(error.to_string(), "/main.jsonnet: not rendered within 0.001 s; it may never end");
    assert_eq!(rendered("1").unwrap(), json!(1));
}

#[test]
fn nesting_costs_no_stack() {
    let deep = "[".repeat(20_000);
    assert!(rendered(&deep).is_err());
    let closed = format!("{deep}{}", "]".repeat(20_000));
    assert!(rendered(&closed).is_err());
}
