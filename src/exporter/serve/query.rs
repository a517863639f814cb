//! Query strings as forms write them: `name=value` pairs joined by `&`, `+` for a space, `%XX` for any byte. Exact:
//! an encoding that is broken is an error, never passed through, so that no two spellings mean different things here
//! and elsewhere.

use std::borrow::Cow;

/// An encoding that is broken: a `%` that two hexadecimal digits do not follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// The decoded values of all parameters named `name`, in their order. A parameter whose name is broken has no name,
/// and so is passed over; one without `=` has an empty value.
pub(super) fn values(query: &str, name: &str) -> impl Iterator<Item = Result<Vec<u8>, Broken>> {
    query.split('&').filter_map(move |pair| {
        let (found, value) = pair.split_once('=').unwrap_or((pair, ""));
        let named = decode(found).is_ok_and(|found| *found == *name.as_bytes());
        named.then(|| decode(value).map(Cow::into_owned))
    })
}

/// Decodes one name or value. What needs no decoding is not copied.
fn decode(text: &str) -> Result<Cow<'_, [u8]>, Broken> {
    let bytes = text.as_bytes();
    if !bytes.iter().any(|b| matches!(b, b'+' | b'%')) {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(&byte) = rest.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => hex_digit(rest.next())? << 4 | hex_digit(rest.next())?,
            other => other,
        });
    }
    Ok(Cow::Owned(decoded))
}

fn hex_digit(byte: Option<&u8>) -> Result<u8, Broken> {
    match byte {
        Some(digit @ b'0'..=b'9') => Ok(digit - b'0'),
        Some(digit @ b'a'..=b'f') => Ok(digit - b'a' + 10),
        Some(digit @ b'A'..=b'F') => Ok(digit - b'A' + 10),
        _ => Err(Broken),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(query: &str) -> Vec<Result<Vec<u8>, Broken>> {
        values(query, "key").collect()
    }

    #[test]
    fn values_are_decoded_exactly() {
        assert_eq!(key("key=a+b%2B%26%25&key=%C3%a9&other=%"), [Ok(b"a b+&%".to_vec()), Ok("é".into())]);
        assert_eq!(key("key=a=b"), [Ok(b"a=b".to_vec())]);
        assert_eq!(key("key=%00%ff"), [Ok(vec![0, 255])]);
        assert_eq!(key("key"), [Ok(vec![])]);
        assert_eq!(key(""), []);
        assert_eq!(key("&&=&"), []);
    }

    #[test]
    fn a_broken_value_is_an_error_and_a_broken_name_no_name() {
        for broken in ["key=%", "key=%1", "key=a%g0", "key=%0g", "key=%%41"] {
            assert_eq!(key(broken), [Err(Broken)], "{broken}");
        }
        assert_eq!(key("ke%y=1"), []);
    }
}
