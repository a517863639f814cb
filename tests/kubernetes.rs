//! What is shipped for Kubernetes: manifests that its schemas and those of the Prometheus Operator accept, and a Helm chart
//! that makes the same of its values. No cluster is asked. Whether the programs take their arguments is in `packaging.rs`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::{Value, json};

use crate::harness::{program, shipped};

/// The digest in the manifests, which is to be replaced.
const DIGEST: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

fn own(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(file)
}

fn said(output: &Output) -> String {
    String::from_utf8([output.stdout.as_slice(), &output.stderr].concat()).unwrap()
}

fn assert_valid(python: &Path, files: &[PathBuf]) {
    let output = Command::new(python).arg(own("kubernetes/validate.py")).args(files).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

fn documents(text: &str) -> Vec<Value> {
    let documents = format!("\n{text}");
    let documents = documents.split("\n---\n").filter(|document| document.contains("\nkind:"));
    documents.map(|document| serde_saphyr::from_str(document).unwrap()).collect()
}

fn of_kind<'a>(documents: &'a [Value], kind: &str) -> &'a Value {
    documents.iter().find(|document| document["kind"] == kind).unwrap()
}

/// The chart's values, with an image.
fn values() -> Value {
    let mut values: Value =
        serde_saphyr::from_str(&shipped::with("helm/etcha-exporter/values.yaml", &[])).unwrap();
    values["image"] = json!({"repository": "registry.example/etcha-exporter", "digest": DIGEST});
    values
}

/// What the chart makes of `values`; `None` where Go is missing.
fn rendered(values: &Value) -> Option<String> {
    let go = program::find("go")?;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("values.json");
    fs::write(&file, values.to_string()).unwrap();
    let mut command = Command::new(go);
    command.arg("run").arg(own("helm/render.go")).arg(shipped::path("helm/etcha-exporter")).arg(&file);
    command.arg("etcha-exporter").env("GOFLAGS", "-mod=mod").env("GOTOOLCHAIN", "local");
    command.env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("go"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn every_manifest_keeps_the_schemas_of_kubernetes_and_of_the_operator() {
    let Some(python) = program::find_python("kubernetes_validate") else { return };
    let files = fs::read_dir(shipped::path("kubernetes")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.collect();
    assert!(files.len() > 5, "{files:?}");
    files.push(shipped::path("container/sidecar.yaml"));
    assert_valid(&python, &files);
}

#[test]
fn the_chart_makes_the_pod_of_the_manifest_and_what_goes_with_it() {
    let Some(made) = rendered(&values()) else { return };
    let Some(python) = program::find_python("kubernetes_validate") else { return };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("made.yaml");
    fs::write(&file, &made).unwrap();
    assert_valid(&python, &[file]);

    let made = documents(&made);
    let manifest = documents(&shipped::with("kubernetes/daemonset.yaml", &[]));
    let pod = |documents: &[Value]| of_kind(documents, "DaemonSet")["spec"]["template"]["spec"].clone();
    assert_eq!(pod(&made), pod(&manifest));
    let labels = &of_kind(&made, "DaemonSet")["spec"]["template"]["metadata"]["labels"];
    for kind in ["PodMonitor", "DaemonSet"] {
        assert_eq!(&of_kind(&made, kind)["spec"]["selector"]["matchLabels"], labels, "{kind}");
    }
    let policy = &of_kind(&made, "NetworkPolicy")["spec"];
    assert_eq!((&policy["podSelector"]["matchLabels"], &policy["egress"]), (labels, &json!([])));
}

#[test]
fn values_of_the_chart_reach_what_it_makes() {
    let mut values = values();
    values["journal"] = json!("/srv/journals/etcha.jsonl");
    values["group"] = json!(998);
    values["extraArgs"] = json!(["--max-series=5"]);
    values["nodeSelector"] = json!({"kubernetes.io/os": "linux"});
    values["networkPolicy"]["enabled"] = json!(false);
    values["podMonitor"]["labels"] = json!({"release": "prometheus"});
    let Some(made) = rendered(&values) else { return };
    let made = documents(&made);
    let pod = &of_kind(&made, "DaemonSet")["spec"]["template"]["spec"];
    let arguments = pod["containers"][0]["args"].as_array().unwrap();
    assert!(arguments.contains(&json!("--journal=/srv/journals/etcha.jsonl")), "{arguments:?}");
    assert_eq!(arguments.last(), Some(&json!("--max-series=5")));
    assert_eq!(pod["securityContext"]["supplementalGroups"], json!([998]));
    assert_eq!(pod["nodeSelector"], json!({"kubernetes.io/os": "linux"}));
    assert_eq!(pod["volumes"][0]["hostPath"]["path"], "/srv/journals");
    assert_eq!(of_kind(&made, "PodMonitor")["metadata"]["labels"]["release"], "prometheus");
    assert!(!made.iter().any(|document| document["kind"] == "NetworkPolicy"));
}

#[test]
fn the_schema_of_the_values_takes_right_ones_and_names_what_is_wrong() {
    let Some(python) = program::find_python("jsonschema") else { return };
    let refused = |values: &Value| {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("values.json");
        fs::write(&file, values.to_string()).unwrap();
        let check = "import json, sys, jsonschema\n\
                     schema, values = (json.load(open(name)) for name in sys.argv[1:])\n\
                     for error in jsonschema.Draft7Validator(schema).iter_errors(values): print(error.message)";
        let mut command = Command::new(&python);
        command.args(["-c", check]).arg(shipped::path("helm/etcha-exporter/values.schema.json")).arg(file);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        said(&output)
    };
    assert_eq!(refused(&values()), "");
    let cases = [
        ("/image/digest", json!(""), "does not match '^sha256:"),
        ("/image/repository", json!(""), "does not match"),
        ("/group", json!("etcha"), "is not of type 'integer'"),
        ("/journal", json!("journal.jsonl"), "does not match '^/"),
        ("/extraArgs", json!(["max-series"]), "does not match '^--'"),
        ("/podMonitor", json!({"enabled": true, "intervall": "30s"}), "'intervall' was unexpected"),
    ];
    for (place, value, wanted) in cases {
        let mut wrong = values();
        *wrong.pointer_mut(place).unwrap() = value;
        assert!(refused(&wrong).contains(wanted), "{place}: {}", refused(&wrong));
    }
    let mut wrong = values();
    wrong["resource"] = json!({});
    assert!(refused(&wrong).contains("'resource' was unexpected"));
}

#[test]
fn every_image_is_named_by_its_digest_and_every_exporter_is_limited() {
    for file in ["container/sidecar.yaml", "kubernetes/daemonset.yaml"] {
        let documents = documents(&shipped::with(file, &[]));
        let pod = &documents[0]["spec"]["template"]["spec"];
        let containers =
            ["initContainers", "containers"].iter().filter_map(|it| pod[it].as_array()).flatten();
        let exporter = containers.filter(|it| it["name"] == "exporter").collect::<Vec<_>>();
        assert_eq!(exporter.len(), 1, "{file}");
        assert_eq!(exporter[0]["image"], format!("registry.example/etcha-exporter@{DIGEST}"), "{file}");
        assert_eq!(exporter[0]["resources"]["limits"]["memory"], "256Mi", "{file}");
    }
}
