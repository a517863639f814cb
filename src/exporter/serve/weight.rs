//! Lists of things that a client weighs by `q`, as `Accept` and `Accept-Encoding` carry them. Knows neither.

/// The elements of header values: commas separate them, quoted text is kept whole.
pub(super) fn elements<'v>(values: impl IntoIterator<Item = &'v str>) -> impl Iterator<Item = &'v str> {
    values.into_iter().flat_map(|value| split(value, b','))
}

/// The parts of an element, which semicolons separate: what it is, then its parameters.
pub(super) fn parts(element: &str) -> impl Iterator<Item = &str> {
    split(element, b';')
}

/// The weight of an element in thousandths; 1000 where none is written. One that cannot be read is 0: who says it
/// badly says no.
pub(super) fn weight(element: &str) -> u16 {
    let parameter = |part: &str| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| thousandths(value.trim()).unwrap_or(0))
    };
    parts(element).skip(1).find_map(parameter).unwrap_or(1000)
}

fn split(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let mut escaped = false;
    text.split(move |char: char| {
        let ends = char == char::from(separator) && !quoted;
        if char == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = quoted && char == '\\' && !escaped;
        ends
    })
    .map(str::trim)
}

/// Reads `0`, `1`, or either with up to three decimals, as thousandths up to 1000.
fn thousandths(weight: &str) -> Option<u16> {
    let (whole, decimals) = weight.split_once('.').unwrap_or((weight, ""));
    if !matches!(whole, "0" | "1") || decimals.len() > 3 || !decimals.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value: u16 = format!("{whole}{decimals:0<3}").parse().ok()?;
    (value <= 1000).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_commas_and_semicolons_separate_nothing() {
        let all: Vec<_> = elements([r#"a;x="1,2;\"3"; q=0.5, b"#, "c"]).collect();
        assert_eq!(all, [r#"a;x="1,2;\"3"; q=0.5"#, "b", "c"]);
        assert_eq!(parts(all[0]).collect::<Vec<_>>(), ["a", r#"x="1,2;\"3""#, "q=0.5"]);
        assert_eq!(
            [weight(all[0]), weight("b"), weight("b;q=2"), weight("b ; Q = 1.000")],
            [500, 1000, 0, 1000]
        );
    }
}
