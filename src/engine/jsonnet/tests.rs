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

fn rendered(text: &str) -> Result<Value, JsonnetError> {
    render(&Imports::of_text(text), &natives())
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
    for (content, expected) in
        [("content", "content"), ("content\n", "content"), ("two\n\n", "two\n"), ("\n", "")]
    {
        fs::write(&path, content).unwrap();
        let text = format!("std.native('getFile')('{}')", path.display());
        assert_eq!(rendered(&text).unwrap(), json!(expected), "{content:?}");
    }
}

#[test]
fn optional_parameters_may_be_left_out_or_named() {
    let exec = Exec {
        env: BTreeMap::from([("FULL".to_owned(), "x".to_owned()), ("EMPTY".to_owned(), String::new())]),
        env_inherit: false,
        ..Exec::default()
    };
    let cases = [
        ("std.native('getEnv')('FULL')", json!("x")),
        ("std.native('getEnv')('EMPTY')", json!("")),
        ("std.native('getEnv')('NONE')", json!("")),
        ("std.native('getEnv')('EMPTY', 'f')", json!("f")),
        ("std.native('getEnv')(key='NONE', fallback='f', cache=true)", json!("f")),
        ("std.native('getFile')('/no/such', fallback=1, cache=true)", json!(1)),
        ("std.length(std.native('randStr')(10))", json!(10)),
        ("std.native('randStr')(10) == std.native('randStr')(10)", json!(false)),
        ("std.native('render')('local x = 1; { a: x + 1 }')", json!({"a": 2})),
        ("std.native('render')('function(x=3) x')", json!(3)),
        ("std.native('getPath')()", json!("")),
        ("std.native('getOS')()", json!("linux")),
    ];
    for (text, expected) in cases {
        let value = render(&Imports::of_text(text), &Natives::new(Value::Null, &exec));
        assert_eq!(value.map_err(|error| error.to_string()), Ok(expected), "{text}");
    }
}

#[test]
fn a_function_is_called_if_it_needs_nothing() {
    assert_eq!(rendered("function() {a: 1}").unwrap(), json!({"a": 1}));
    assert_eq!(rendered("function(x=2, y=x) {a: y}").unwrap(), json!({"a": 2}));
    let error = rendered("function(x) {a: x}").unwrap_err().to_string();
    assert!(error.contains("the argument `x` is missing"), "{error}");
}

#[test]
fn functions_of_etcha_that_are_not_there_say_why() {
    for (name, why) in
        [("get", "it needs jq"), ("getCmd", "starts no program"), ("getRecord", "asks no name server")]
    {
        let error = rendered(&format!("std.native('{name}')('x')")).unwrap_err().to_string();
        assert!(error.contains(&format!("the native function `{name}` is not there: ")), "{error}");
        assert!(error.contains(why), "{error}");
    }
    let error = rendered("std.native('other')").unwrap_err().to_string();
    assert!(
        error.contains("there is no native function `other`; there are getArch, getConfig, getEnv"),
        "{error}"
    );
    let error = rendered("std.native('getFile')('https://example.org/x')").unwrap_err().to_string();
    assert!(error.contains("fetches nothing from other hosts"), "{error}");
}

#[test]
fn base64_means_utf8() {
    assert_eq!(rendered("std.base64('häß €')").unwrap(), json!("aMOkw58g4oKs"));
    assert_eq!(rendered("std.base64([104, 228])").unwrap(), json!("aOQ="));
    assert_eq!(rendered("std.base64Decode('aMOkw58g4oKs')").unwrap(), json!("häß €"));
    assert_eq!(rendered("std.thisFile").unwrap(), json!("/main.jsonnet"));
}

#[test]
fn the_engines_own_configuration_is_no_variable_of_a_pattern() {
    // Cargo sets this one, so it is inherited; the child's own task is not.
    let text =
        "[std.native('getEnv')(key, '-') != '-' for key in ['CARGO_MANIFEST_DIR', 'ETCHA_ENGINE_CHILD']]";
    assert_eq!(rendered(text).unwrap(), json!([true, false]));
}

fn as_nobody(text: &str) -> Result<Value, JsonnetError> {
    let exec = Exec { user: Some("nobody".to_owned()), ..Exec::default() };
    let natives = Natives::as_user(json!({}), &exec);
    render(&Imports::of_text(text), &natives)
}

#[test]
fn a_program_of_others_has_the_rights_of_the_user() {
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode;
    fs::set_permissions(directory.path(), mode(0o755)).unwrap();
    fs::set_permissions(&secret, mode(0o600)).unwrap();
    let text = format!("std.native('getFile')('{}')", secret.display());
    assert_eq!(rendered(&text).unwrap(), json!("secret"));
    let error = as_nobody(&text).unwrap_err().to_string();
    if rustix::process::geteuid().is_root() {
        assert!(error.contains("Permission denied"), "{error}");
        assert_eq!(as_nobody("std.native('getEnv')('USER')").unwrap(), json!("nobody"));
    } else {
        assert!(error.contains("only root may render"), "{error}");
    }
}

#[test]
fn what_would_wait_or_has_no_end_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o644.into(), 0).unwrap();
    for path in [pipe.to_str().unwrap(), "/dev/zero", "/dev/stdin", directory.path().to_str().unwrap()] {
        let error = rendered(&format!("std.native('getFile')('{path}')")).unwrap_err().to_string();
        assert!(error.contains(&format!("{path}: not a regular file")), "{error}");
    }
    let error = Imports::of_path(&pipe).unwrap_err().to_string();
    assert_eq!(error, format!("{}: cannot be read: not a regular file", pipe.display()));
}

#[test]
fn what_needs_too_much_ends_its_child_and_nothing_else() {
    let cases = [
        (
            "std.length(std.range(1, 2e9))",
            "/main.jsonnet: not rendered: it needs more than 512 MiB of memory",
        ),
        (
            "local f(n, a) = if n == 0 then a else f(n - 1, [a]) tailstrict; { run: f(5000000, []) }",
            // Too much memory, or on a busy machine too much time.
            "/main.jsonnet: not rendered",
        ),
        (
            "local f(n, a) = if n == 0 then a else f(n - 1, [a]) tailstrict; f(300, [])",
            "recursion limit exceeded",
        ),
        ("std.repeat('x', 20000000)", "/main.jsonnet: renders to more than 16 MiB"),
    ];
    for (text, expected) in cases {
        let error = rendered(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    assert_eq!(rendered("1").unwrap(), json!(1));
}

#[test]
fn a_program_can_write_no_file_and_start_no_long_work() {
    let limits = rendered("std.split(std.native('getFile')('/proc/self/limits'), '\\n')").unwrap();
    let line = |name: &str| {
        let lines = limits.as_array().unwrap().iter().filter_map(Value::as_str);
        lines
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .find(|line| line.starts_with(name))
    };
    assert_eq!(line("Max file size").unwrap(), "Max file size 0 0 bytes");
    assert_eq!(line("Max core file size").unwrap(), "Max core file size 0 0 bytes");
    assert_eq!(line("Max cpu time").unwrap(), "Max cpu time 11 11 seconds");
    assert_eq!(line("Max open files").unwrap(), "Max open files 16 16 files");
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
            "std.native('getFile')('/no/such')",
            "getFile: /no/such: No such file or directory (os error 2); give a fallback",
        ),
        ("std.native('regexMatch')('(', '')", "regexMatch: `(` is no regular expression"),
        ("{f(x): x}", "a function cannot become JSON"),
    ];
    for (text, expected) in cases {
        let error = rendered(text).unwrap_err().to_string();
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
    assert_eq!(imports.directory(), directory.path().join("patterns").display().to_string());
    let expected = json!({"n": 42, "s": "text ' that is no Jsonnet"});
    assert_eq!(render(&imports, &natives()).unwrap(), expected);
    drop(directory);
    assert_eq!(render(&imports, &natives()).unwrap(), expected);
}

#[test]
fn an_import_is_found_with_fewer_leading_directories() {
    let files = BTreeMap::from([("/lib/a.libsonnet".to_owned(), "1".to_owned())]);
    let imports = Imports { entrypoint: String::new(), files, directory: None };
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
    // Ends by itself some time after it was given up, should that fail.
    let slow = "std.foldl(function(sum, n) sum + n, std.range(1, 3000000), 0)";
    let begin = std::time::Instant::now();
    let error = child::render(&Imports::of_text(slow), &natives(), Duration::from_millis(300)).unwrap_err();
    assert_eq!(error.to_string(), "/main.jsonnet: not rendered within 0.3 s; it may never end");
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    assert_eq!(rendered("1").unwrap(), json!(1));
}

#[test]
fn nesting_costs_no_stack() {
    let deep = "[".repeat(20_000);
    assert!(rendered(&deep).is_err());
    let closed = format!("{deep}{}", "]".repeat(20_000));
    assert!(rendered(&closed).is_err());
}
