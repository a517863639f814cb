//! Values of fields: how each is read, and what of it is not written because no reader would take it.

use std::borrow::Cow;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

use crate::limits::MAX_COUNT;

/// An address without port, brackets and zone; see [`address::plain`](crate::address::plain).
pub(crate) fn address<'de: 'a, 'a, D: Deserializer<'de>>(input: D) -> Result<Cow<'a, str>, D::Error> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

    Text::deserialize(input).map(|text| crate::address::plain(text.0))
}

/// A value that may be absent, but is no `null` where it is given.
pub(crate) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(input: D) -> Result<Option<T>, D::Error> {
    T::deserialize(input).map(Some)
}

/// A process id.
pub(super) fn pid<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u32>, D::Error> {
    let number = Integer::deserialize(input)?.0;
    u32::try_from(number).map(Some).map_err(|_| D::Error::custom("a process id is at most 4294967295"))
}

/// An integer, not below 0, in any spelling that JSON has for it: `100`, `100.0`, `1e2`; `-0` is 0. A JSON Schema cannot
/// tell these apart, so neither does a reader.
pub(crate) struct Integer(pub(crate) u64);

impl<'de> Deserialize<'de> for Integer {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Integer, D::Error> {
        input.deserialize_any(IntegerVisitor).map(Integer)
    }
}

struct IntegerVisitor;

impl Visitor<'_> for IntegerVisitor {
    type Value = u64;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("an integer, not below 0")
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<u64, E> {
        Ok(number)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<u64, E> {
        // 2^64, the first that does not fit.
        const BEYOND: f64 = 18_446_744_073_709_551_616.0;
        if number.fract() == 0.0 && (0.0..BEYOND).contains(&number) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it is whole and fits"
            )]
            Ok(number as u64)
        } else {
            Err(E::custom("an integer, not below 0, is wanted here"))
        }
    }
}

/// A duration in seconds: finite and not negative, because a clock that jumped is no measurement.
pub(super) mod seconds {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(in crate::event) fn deserialize<'de, D: Deserializer<'de>>(
        input: D,
    ) -> Result<Option<f64>, D::Error> {
        let seconds = f64::deserialize(input)?;
        if is_usable(seconds) {
            // -0 is 0, and is written so.
            Ok(Some(seconds + 0.0))
        } else {
            Err(D::Error::custom("a duration is a finite number of seconds, not below 0"))
        }
    }

    /// What a reader would refuse is not written: that loses a measurement, not the event.
    #[expect(clippy::ref_option, reason = "the signature serde calls")]
    pub(in crate::event) fn is_unusable(seconds: &Option<f64>) -> bool {
        !seconds.is_some_and(is_usable)
    }

    fn is_usable(seconds: f64) -> bool {
        seconds.is_finite() && seconds >= 0.0
    }

    #[expect(clippy::ref_option, reason = "the signature serde calls")]
    pub(in crate::event) fn serialize<S: Serializer>(
        seconds: &Option<f64>,
        output: S,
    ) -> Result<S::Ok, S::Error> {
        match seconds {
            Some(seconds) => output.serialize_f64(*seconds),
            None => output.serialize_none(),
        }
    }
}

/// A number of things: at most [`MAX_COUNT`], so that it stays exact in a metric.
pub(super) mod count {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use super::{Integer, MAX_COUNT};

    pub(in crate::event) fn deserialize<'de, D: Deserializer<'de>>(
        input: D,
    ) -> Result<Option<u64>, D::Error> {
        match Integer::deserialize(input)?.0 {
            count if count <= MAX_COUNT => Ok(Some(count)),
            _ => Err(D::Error::custom("a count is at most 2^53")),
        }
    }

    /// What a reader would refuse is not written: that loses a measurement, not the event.
    #[expect(clippy::ref_option, reason = "the signature serde calls")]
    pub(in crate::event) fn is_unusable(count: &Option<u64>) -> bool {
        !count.is_some_and(|count| count <= MAX_COUNT)
    }

    #[expect(clippy::ref_option, reason = "the signature serde calls")]
    pub(in crate::event) fn serialize<S: Serializer>(
        count: &Option<u64>,
        output: S,
    ) -> Result<S::Ok, S::Error> {
        match count {
            Some(count) => output.serialize_u64(*count),
            None => output.serialize_none(),
        }
    }
}
