//! The known name that is nearest to an unknown one, for "did you mean …?".

/// Below this likeness, from 0 to 1, a suggestion would only mislead.
const LEAST: f64 = 0.5;

/// The name in `known` that is most like `name`: by the last part after a `.`, which may stand in a wrong object, and
/// among equal ones by the whole name. `None` if none is like it.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let last = |name: &str| name.rsplit('.').next().unwrap_or(name).to_lowercase();
    let likeness = |known: &str| {
        let part = strsim::normalized_damerau_levenshtein(&last(name), &last(known));
        (part, part + strsim::jaro_winkler(&name.to_lowercase(), &known.to_lowercase()) / 4.0)
    };
    known
        .into_iter()
        .map(|known| (likeness(known), known))
        .filter(|((part, _), _)| *part > LEAST)
        .max_by(|((_, one), _), ((_, other), _)| one.total_cmp(other))
        .map(|(_, known)| known)
}

/// What is said of an unknown key `name`, which may not hold a secret.
pub fn unknown<'a>(known: impl IntoIterator<Item = &'a str>, name: &str) -> String {
    match nearest(name, known) {
        Some(near) => format!("unknown key; did you mean `{near}`?"),
        None => "unknown key".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_by_its_last_part_and_nothing_is_suggested_for_something_else() {
        let known = ["exporter.journal", "exporter.maxSeries", "run.stateDir", "httpServer.listenAddress"];
        for (name, expected) in [
            ("journal", Some("exporter.journal")),
            ("run.maxseries", Some("exporter.maxSeries")),
            ("run.stateDirectory", Some("run.stateDir")),
            ("exporter.listenAdress", Some("httpServer.listenAddress")),
            ("line break", None),
            ("x", None),
        ] {
            assert_eq!(nearest(name, known), expected, "{name}");
        }
    }
}
