//! README, `docs/`, help and exposition agree: each family and each flag is documented with what it is, and nothing is
//! documented that does not exist. Examples are checked by the programs that read them, and links lead somewhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use crate::{
    harness::{
        exporter::{Home, SCRAPE, command},
        recording::Recording,
        wait::{SOON, wait_until},
    },
    rules::{Rule, rules},
};

/// Where the repository begins.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Markdown files directly in a directory, by path from the root of the repository (`docs/metrics.md`).
fn pages_in(directory: &str) -> BTreeMap<String, String> {
    let files = fs::read_dir(root().join(directory)).unwrap().map(|entry| entry.unwrap().path());
    let pages = files.filter(|file| file.extension().is_some_and(|extension| extension == "md"));
    pages.map(|file| (path_from_root(&file), fs::read_to_string(&file).unwrap())).collect()
}

fn path_from_root(file: &Path) -> String {
    file.strip_prefix(root()).unwrap().to_str().unwrap().to_owned()
}

/// README and the pages of `docs/`, one after the other.
fn documentation() -> String {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    pages_in("docs").into_values().fold(readme, |all, page| all + "\n" + &page)
}

/// First, second and third cell of each row of the tables whose header begins with `| {first} |`.
fn table(first: &str) -> Vec<(String, String, String)> {
    let cell = |cells: &[String], at: usize| cells.get(at).cloned().unwrap_or_default();
    rows(first).iter().map(|cells| (cell(cells, 0), cell(cells, 1), cell(cells, 2))).collect()
}

/// All cells of each row of these tables, without backticks.
fn rows(first: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut inside = false;
    for line in documentation().lines() {
        let cells: Vec<_> = line.split('|').map(|cell| cell.trim().replace('`', "")).collect();
        match cells.get(1).map(String::as_str) {
            None => inside = false,
            Some(cell) if cell == first => inside = true,
            Some(cell) if inside && !cell.starts_with("---") => {
                rows.push(cells[1..cells.len() - 1].to_vec());
            }
            Some(_) => {}
        }
    }
    rows
}

/// The code block after the comment `<!-- {name}: checked by a test -->`.
pub(crate) fn example(name: &str) -> String {
    let documentation = documentation();
    let (_, rest) = documentation.split_once(&format!("<!-- {name}: checked by a test -->\n```")).unwrap();
    let (_, rest) = rest.split_once('\n').unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

/// The code block after the comment `<!-- {name}: run by a test -->`.
pub(crate) fn example_run(name: &str) -> String {
    let documentation = documentation();
    let (_, rest) = documentation.split_once(&format!("<!-- {name}: run by a test -->\n```")).unwrap();
    let (_, rest) = rest.split_once('\n').unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

/// Whether the tables of metrics have the family of a sample of this name.
pub(crate) fn has_family(sample: &str) -> bool {
    let of_histogram = ["_bucket", "_count", "_sum"].iter().find_map(|end| sample.strip_suffix(end));
    table("family").iter().any(|(family, kind, _)| {
        family == sample || kind == "histogram" && Some(family.as_str()) == of_histogram
    })
}

#[test]
fn the_tables_of_metrics_and_a_scrape_name_the_same_families_with_types_and_labels() {
    let home = Home::new();
    for name in ["tour", "shells"] {
        home.append(Recording::load(name).journal);
    }
    // What the recordings do not have: a duration, so that its histogram is born.
    home.append(
        r#"{"v":1,"writer":"w","seq":1,"time":"2026-01-01T00:00:00.000Z","event":"source","name":"s","trigger":"pull","error":false,"duration_seconds":0.5}"#,
    );
    // Nor what is under way, and what was refused.
    for (seq, event) in [
        (2, r#""run","name":"s","trigger":"pull","run":"1","state":"started""#),
        (3, r#""heartbeat""#),
        (4, r#""refused","action":"push","reason":"signature""#),
    ] {
        home.append(format!(
            "\n{{\"v\":1,\"writer\":\"w\",\"seq\":{seq},\"time\":\"2099-01-01T00:00:00.000Z\",\"event\":{event}}}"
        ));
    }
    home.append("\n");
    let exporter = home.start(&[]);
    exporter.wait_until_ready();
    let mut scrape = exporter.scrape();
    wait_until(SOON, "the first checkpoint", || {
        scrape = exporter.scrape();
        scrape.value("etcha_exporter_checkpoint_bytes", &[]) > Some(0.0)
    });

    let documented: BTreeMap<_, _> =
        table("family").into_iter().map(|(name, kind, _)| (name, kind)).collect();
    let served: BTreeMap<_, _> = scrape
        .types
        .iter()
        .filter(|(name, _)| !name.starts_with("process_"))
        .map(|(name, kind)| (name.clone(), kind.to_string()))
        .collect();
    assert_eq!(documented, served);
    for process in scrape.types.keys().filter(|name| name.starts_with("process_")) {
        assert!(documentation().contains(&format!("`{process}`")), "{process} is not documented");
    }

    for row in rows("family") {
        assert_eq!(Some(&row[3]), scrape.helps.get(&row[0]), "HELP of {}", row[0]);
    }
    for (family, kind, labels) in table("family") {
        let labels: BTreeSet<_> = labels.split_whitespace().collect();
        let sample = if kind == "histogram" { format!("{family}_count") } else { family.clone() };
        let (series, _) = scrape.samples.iter().find(|(series, _)| series.name == sample).unwrap();
        let served: BTreeSet<_> = series.labels.keys().map(String::as_str).collect();
        assert_eq!(labels, served, "{family}");
    }
}

#[test]
fn the_table_of_flags_and_the_help_name_the_same_flags() {
    let help = command().arg("--help").output().unwrap().stdout;
    let help = String::from_utf8(help).unwrap();
    let flags = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
        words.filter(|word| word.starts_with("--") && word.len() > 3).map(str::to_owned).collect()
    };
    let definitions: String = help
        .lines()
        .filter(|line| line.trim_start().starts_with('-'))
        .map(|line| line.split("  ").find(|part| part.contains("--")).unwrap_or_default().to_owned() + " ")
        .collect();
    let mut helped = flags(&definitions);
    helped.retain(|flag| !matches!(flag.as_str(), "--help" | "--version"));
    let documented: BTreeSet<_> =
        table("flag").into_iter().filter(|(flag, ..)| !flag.is_empty()).map(|(flag, ..)| flag).collect();
    assert_eq!(documented, helped);
}

/// Asserts that the table between the two comments that begin with `what` on a page of `docs` is `table`.
fn assert_fresh(page: &str, what: &str, table: &str) {
    let (begin, end) =
        (format!("<!-- {what}: made out of their definitions -->\n"), format!("<!-- {what}: end -->"));
    let old = fs::read_to_string(root().join("docs").join(page)).unwrap();
    let (before, rest) = old.split_once(&begin).unwrap();
    let (_, after) = rest.split_once(&end).unwrap();
    let fresh = format!("{before}{begin}{table}{end}{after}");
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(page);
    fs::write(&path, &fresh).unwrap();
    assert!(
        fresh == old,
        "docs/{page} is stale; refresh it from the top of the repository with\n  cp {} docs/",
        path.display()
    );
}

#[test]
fn the_documented_tables_of_settings_are_made_out_of_their_definitions() {
    assert_fresh("configuration.md", "settings", &exporter::config::table());
    assert_fresh("engine-reference.md", "keys", &engine::configuration_table());
}

#[test]
fn the_documented_configuration_file_is_accepted() {
    let home = Home::new();
    let directory = home.journal().parent().unwrap().to_owned();
    let config = example("configuration file")
        .replace("/var/lib/etcha-exporter", directory.to_str().unwrap())
        .replace("/etc/etcha-exporter/metrics-key", directory.join("key").to_str().unwrap());
    fs::write(directory.join("config.json"), config).unwrap();
    let checked =
        command().arg("--check-config").arg("--config").arg(directory.join("config.json")).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn the_documented_examples_for_prometheus_are_in_the_files_that_are_shipped() {
    for name in ["guide.yml", "prometheus.yml"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/prometheus").join(name);
        let file = fs::read_to_string(file).unwrap();
        assert!(file.contains(&example(name)), "packaging/prometheus/{name} reads otherwise");
    }
}

#[test]
fn the_table_of_alerts_and_the_rules_name_the_same_alerts() {
    let documented: Vec<_> = table("alert").into_iter().map(|(name, severity, _)| (name, severity)).collect();
    let shipped: Vec<_> = rules()
        .into_iter()
        .filter(Rule::is_alert)
        .map(|rule| (rule.name().to_owned(), rule.labels["severity"].clone()))
        .collect();
    assert_eq!(documented, shipped);
}

#[test]
fn the_numbers_of_one_host_are_those_of_a_scrape() {
    let home = Home::new();
    for name in ["tour", "shells"] {
        home.append(Recording::load(name).journal);
    }
    let exporter = home.start(&[]);
    exporter.wait_until_ready();
    let scrape = exporter.scrape();
    let own = scrape
        .samples
        .keys()
        .filter(|series| series.name.starts_with("etcha_exporter_") || series.name.starts_with("process_"));
    let asked = [
        ("Accept", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"),
        ("Accept-Encoding", "gzip"),
    ];
    let bytes = exporter.get(SCRAPE, &asked).body.len();
    let measured = [scrape.samples.len(), own.count(), bytes];
    for ((what, documented, _), measured) in table("one scrape").into_iter().zip(measured) {
        let documented: usize = documented.replace(',', "").parse().unwrap();
        // Round numbers: they need not change with each family.
        let place = "docs/fleets.md, table \"one scrape\"";
        assert!(
            measured.abs_diff(documented) * 10 <= documented,
            "{place}, {what}: {measured}, not {documented}"
        );
    }
}

/// The targets of the links of a page, without those to other hosts.
fn links(page: &str) -> Vec<String> {
    let targets = page.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target.to_owned()).filter(|target| !target.contains("://")).collect()
}

/// The anchors that headings make, as the usual hosts of Markdown make them.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let words = line.trim_start_matches('#').trim().to_lowercase();
            let kept = words.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

#[test]
fn every_link_of_the_documentation_leads_to_a_file_and_a_heading() {
    let mut broken = Vec::new();
    for directory in ["", "docs", "journal-schema", "benches", "packaging/etcha", "packaging/mixin"] {
        if !root().join(directory).is_dir() {
            continue;
        }
        for (name, page) in pages_in(directory) {
            for link in links(&page) {
                let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
                let target = if file.is_empty() {
                    root().join(&name)
                } else {
                    root().join(&name).parent().unwrap().join(file)
                };
                let read = fs::read_to_string(&target);
                if !target.exists() || !anchor.is_empty() && !anchors(&read.unwrap()).contains(anchor) {
                    broken.push(format!("{name}: {link}"));
                }
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}

#[test]
fn the_contents_and_the_readme_name_every_page() {
    let contents = fs::read_to_string(root().join("docs/README.md")).unwrap();
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    assert!(readme.lines().count() <= 180, "the README has more than 180 lines");
    for page in pages_in("docs").into_keys().filter(|page| page != "docs/README.md") {
        let name = page.strip_prefix("docs/").unwrap();
        assert!(contents.contains(&format!("]({name})")), "docs/README.md does not name {name}");
        assert!(readme.contains(&format!("]({page})")), "README.md does not name {page}");
    }
}
