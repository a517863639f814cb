//! A strict parser of Prometheus' text format 0.0.4, as far as exporters write it. What a lenient reader lets pass is
//! an error here: a sample without its TYPE, a family in two places, a series twice, a missing last line end.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    str::FromStr,
};

/// A metric name with its labels, sorted.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
}

impl Series {
    pub(crate) fn new(name: &str, labels: &[(&str, &str)]) -> Self {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { name: name.to_owned(), labels }
    }

    /// The value of a label; that of an absent one is empty, as in PromQL.
    pub(crate) fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.name, self.labels)
    }
}

/// Series and their values.
pub(crate) type Samples = BTreeMap<Series, f64>;

/// A parsed exposition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exposition {
    /// TYPE of each family.
    pub(crate) types: BTreeMap<String, String>,
    /// HELP of each family, its escapes undone.
    pub(crate) helps: BTreeMap<String, String>,
    pub(crate) samples: Samples,
}

impl Exposition {
    /// The value of one series, if it is there.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.samples.get(&Series::new(name, labels)).copied()
    }
}

/// Why a text is no valid exposition.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Invalid {
    /// Counted from 1.
    line: usize,
    what: String,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl FromStr for Exposition {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut parser = Parser::default();
        // Not `lines()`: a CR may be part of a label's value, only LF ends a line.
        let mut lines: Vec<&str> = text.split('\n').collect();
        if let Some(rest) = lines.pop().filter(|rest| !rest.is_empty()) {
            let what = format!("does not end with a line end: {rest:?}");
            return Err(Invalid { line: lines.len() + 1, what });
        }
        for (index, line) in lines.into_iter().enumerate() {
            parser.line(line).map_err(|what| Invalid { line: index + 1, what })?;
        }
        Ok(parser.done)
    }
}

#[derive(Default)]
struct Parser {
    done: Exposition,
    /// Family of the line before; a family's lines lie together.
    current: String,
    /// Families that had their place.
    seen: BTreeSet<String>,
}

impl Parser {
    fn line(&mut self, line: &str) -> Result<(), String> {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').ok_or("HELP without a text")?;
            self.enter(name)?;
            let help = unescaped(help, "\\n")?;
            return unique(self.done.helps.insert(name.to_owned(), help), "HELP", name);
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or("TYPE without a type")?;
            if !["counter", "gauge", "histogram", "summary", "untyped"].contains(&kind) {
                return Err(format!("unknown type {kind:?}"));
            }
            self.enter(name)?;
            return unique(self.done.types.insert(name.to_owned(), kind.to_owned()), "TYPE", name);
        }
        if line.starts_with('#') {
            return Ok(());
        }
        let (series, value) = sample(line)?;
        let family = self.family(&series.name).ok_or_else(|| format!("{} has no TYPE", series.name))?;
        self.enter(&family)?;
        let what = series.to_string();
        unique(self.done.samples.insert(series, value), "series", &what)
    }

    /// Goes on with `family`, which must not have been left before.
    fn enter(&mut self, family: &str) -> Result<(), String> {
        metric_name(family)?;
        if family != self.current {
            if !self.seen.insert(family.to_owned()) {
                return Err(format!("{family} again, its lines do not lie together"));
            }
            family.clone_into(&mut self.current);
        }
        Ok(())
    }

    /// The family that a sample called `name` belongs to.
    fn family(&self, name: &str) -> Option<String> {
        if self.done.types.contains_key(name) {
            return Some(name.to_owned());
        }
        ["_bucket", "_sum", "_count"].into_iter().filter_map(|suffix| name.strip_suffix(suffix)).find_map(
            |family| {
                let kind = self.done.types.get(family)?;
                (kind == "histogram" || kind == "summary").then(|| family.to_owned())
            },
        )
    }
}

fn unique<T>(before: Option<T>, what: &str, name: &str) -> Result<(), String> {
    before.map_or(Ok(()), |_| Err(format!("{what} {name} twice")))
}

/// `name value` or `name{label="value",…} value`. Timestamps are none of an exporter's business here.
fn sample(line: &str) -> Result<(Series, f64), String> {
    let end = line.find(['{', ' ']).ok_or_else(|| format!("no value in {line:?}"))?;
    let (name, mut rest) = line.split_at(end);
    metric_name(name)?;
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, value, after) = label(rest)?;
            unique(labels.insert(label.to_owned(), value), "label", label)?;
            rest = match after.strip_prefix(',') {
                Some(next) if !next.starts_with('}') => next,
                Some(_) => return Err("a comma before `}`".into()),
                None if after.starts_with('}') => after,
                None => return Err(format!("neither `,` nor `}}` after label {label}")),
            };
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ').ok_or("no space before the value")?;
    let value = number(value).ok_or_else(|| format!("{value:?} is no value"))?;
    Ok((Series { name: name.to_owned(), labels }, value))
}

/// The label that `text` begins with, its value with the escapes undone, and what follows it.
fn label(text: &str) -> Result<(&str, String, &str), String> {
    let (name, rest) = text.split_once("=\"").ok_or_else(|| format!("no label in {text:?}"))?;
    if !is_name(name, "") {
        return Err(format!("{name:?} is no label name"));
    }
    let mut escaped = false;
    let end = rest
        .bytes()
        .position(|byte| {
            let closes = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            closes
        })
        .ok_or_else(|| format!("label {name} is never closed"))?;
    Ok((name, unescaped(&rest[..end], "\\n\"")?, &rest[end + 1..]))
}

/// Undoes backslashes, which may stand before any of `allowed` and nothing else.
fn unescaped(text: &str, allowed: &str) -> Result<String, String> {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(next) = chars.next() {
        if next != '\\' {
            plain.push(next);
            continue;
        }
        match chars.next().filter(|escape| allowed.contains(*escape)) {
            Some('n') => plain.push('\n'),
            Some(escape) => plain.push(escape),
            None => return Err(format!("unknown escape in {text:?}")),
        }
    }
    Ok(plain)
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        _ if text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')) => {
            text.parse().ok()
        }
        _ => None,
    }
}

fn metric_name(name: &str) -> Result<(), String> {
    if is_name(name, ":") { Ok(()) } else { Err(format!("{name:?} is no metric name")) }
}

fn is_name(name: &str, besides: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || besides.contains(c))
}

#[cfg(test)]
mod tests {
    use super::{Exposition, Series};

    fn error(text: &str) -> String {
        text.parse::<Exposition>().unwrap_err().to_string()
    }

    #[test]
    fn families_series_and_values_are_read() {
        let text = "# HELP a_total what \\\\ it\\nis\n# TYPE a_total counter\n\
                    a_total{x=\"1\",y=\"\"} 3\na_total{x=\"2\",y=\"\"} 9007199254740992\n\
                    # TYPE b gauge\nb 1.5e-3\n# TYPE c histogram\nc_bucket{le=\"+Inf\"} 2\nc_sum +Inf\nc_count 2\n";
        let exposition: Exposition = text.parse().unwrap();
        assert_eq!(exposition.helps["a_total"], "what \\ it\nis");
        assert_eq!(exposition.types["b"], "gauge");
        assert_eq!(exposition.value("a_total", &[("y", ""), ("x", "2")]), Some(9_007_199_254_740_992.0));
        assert_eq!(exposition.value("b", &[]), Some(0.0015));
        assert_eq!(exposition.value("c_sum", &[]), Some(f64::INFINITY));
        assert_eq!(exposition.samples.len(), 6);
    }

    #[test]
    fn label_values_keep_everything_but_their_escapes() {
        let text = "# TYPE a gauge\na{x=\"q\\\" b\\\\ n\\n t\t r\r } , = é\"} 1\n";
        let exposition: Exposition = text.parse().unwrap();
        assert_eq!(exposition.value("a", &[("x", "q\" b\\ n\n t\t r\r } , = é")]), Some(1.0));
    }

    #[test]
    fn an_empty_text_has_no_series() {
        assert!("".parse::<Exposition>().unwrap().samples.is_empty());
    }

    #[test]
    fn errors_name_the_line() {
        for (text, expected) in [
            ("# TYPE a gauge\na 1", "line 2: does not end with a line end: \"a 1\""),
            ("a 1\n", "line 1: a has no TYPE"),
            ("# TYPE a gauge\na{x=\"1\"} 1\na{x=\"1\"} 2\n", "line 3: series a{\"x\": \"1\"} twice"),
            ("# TYPE a gauge\n# TYPE b gauge\na 1\n", "line 3: a again, its lines do not lie together"),
            ("# TYPE a gauge\na 1 2\n", "line 2: \"1 2\" is no value"),
            ("# TYPE a gauge\na inf\n", "line 2: \"inf\" is no value"),
            ("# TYPE a gauge\na{x=\"\\t\"} 1\n", "line 2: unknown escape in \"\\\\t\""),
            ("# TYPE a gauge\na{x=\"1} 1\n", "line 2: label x is never closed"),
            ("# TYPE a gauge\na{x=\"1\",} 1\n", "line 2: a comma before `}`"),
            ("# TYPE a gauge\na{x=\"1\"y=\"2\"} 1\n", "line 2: neither `,` nor `}` after label x"),
            ("# TYPE a gauge\na{1=\"1\"} 1\n", "line 2: \"1\" is no label name"),
            ("# TYPE a thing\n", "line 1: unknown type \"thing\""),
            ("# TYPE a gauge\n# TYPE a gauge\n", "line 2: TYPE a twice"),
            ("\n", "line 1: no value in \"\""),
        ] {
            assert_eq!(error(text), expected, "{text:?}");
        }
    }

    #[test]
    fn an_absent_label_reads_as_empty() {
        assert_eq!(Series::new("a", &[("x", "1")]).label("y"), "");
    }
}
