//! Decimal digits as numbers, eight characters at a time: what a glance reads, and only in the spelling that the
//! contract's writer has for it. Knows no member of a line.

/// Characters of a number at the end of a line: so many digits are exact as a floating point number, and a decimal made of
/// them is the nearest one.
pub(super) const MAX_DIGITS: usize = 15;

/// The integer at the front of `text`, without sign or leading zero, and what follows it.
pub(super) fn integer(text: &[u8]) -> Option<(u64, &[u8])> {
    let (&first, rest) = text.split_first_chunk::<8>()?;
    let mut digits = leading_digits(first);
    let mut value = value(first, digits);
    if digits == 8 {
        let next = *rest.first_chunk::<8>()?;
        let more = leading_digits(next);
        value = value * 10_u64.pow(u32::try_from(more).ok()?) + self::value(next, more);
        digits += more;
    }
    (digits == 1 || (digits > 1 && text[0] != b'0')).then(|| (value, &text[digits..]))
}

/// Where the number starts that `text` ends with, and whether it has no fraction; `None` if there is none, or one in a
/// spelling that only a parser can judge.
#[inline(always)]
pub(super) fn last_number(text: &[u8]) -> Option<(usize, bool)> {
    let mut start = before_digits(text, text.len())?;
    let mut whole = text.len() - start;
    let has_fraction = text.get(start.wrapping_sub(1)) == Some(&b'.');
    if has_fraction {
        let end = start - 1;
        start = before_digits(text, end)?;
        whole = end - start;
    }
    let is_plain = whole == 1 || (whole > 1 && text[start] != b'0');
    (is_plain && text.len() - start <= MAX_DIGITS).then_some((start, !has_fraction))
}

/// A number that [`last_number`] found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimal {
    /// All its digits as an integer: the number itself where there is no fraction.
    pub(super) digits: u64,
    /// 10 for each digit behind the point.
    scale: u64,
}

impl Decimal {
    /// Reads up to a comma or the end, and says what is left.
    pub(super) fn read(text: &[u8]) -> (Decimal, &[u8]) {
        let (mut digits, mut scale, mut factor) = (0_u64, 1_u64, 1);
        for (at, &byte) in text.iter().enumerate() {
            match byte {
                b',' => return (Decimal { digits, scale }, &text[at..]),
                b'.' => factor = 10,
                digit => {
                    digits = digits * 10 + u64::from(digit & 0x0f);
                    scale *= factor;
                }
            }
        }
        (Decimal { digits, scale }, &[])
    }

    /// Both numbers are exact, so their quotient is the nearest one there is.
    #[expect(clippy::cast_precision_loss, reason = "exact: so many digits make less than 2^53")]
    pub(super) fn value(self) -> f64 {
        self.digits as f64 / self.scale as f64
    }
}

/// Where the digits begin that end at `end`; `None` where that lies too far from it, or too near to the start, to be a
/// duration.
fn before_digits(text: &[u8], end: usize) -> Option<usize> {
    let last = trailing_digits(*text.get(..end)?.last_chunk::<8>()?);
    if last < 8 {
        return Some(end - last);
    }
    let more = trailing_digits(*text.get(..end - 8)?.last_chunk::<8>()?);
    Some(end - 8 - more)
}

// Eight characters at once, as one number, the first in its lowest byte.

/// How many digits these begin with.
pub(super) fn leading_digits(text: [u8; 8]) -> usize {
    others(text).trailing_zeros() as usize / 8
}

/// How many digits these end with.
fn trailing_digits(text: [u8; 8]) -> usize {
    others(text).leading_zeros() as usize / 8
}

/// The highest bit of each byte that is no digit.
fn others(text: [u8; 8]) -> u64 {
    // A digit becomes its value, and everything else more than 9.
    let values = u64::from_le_bytes(text) ^ 0x3030_3030_3030_3030;
    (((values & 0x7f7f_7f7f_7f7f_7f7f) + 0x7676_7676_7676_7676) | values) & 0x8080_8080_8080_8080
}

/// The number that the first `digits` of these are.
fn value(text: [u8; 8], digits: usize) -> u64 {
    if digits == 0 {
        return 0;
    }
    // The others are moved out, and zeros in before the first; then pairs, fours, all.
    let digits = (u64::from_le_bytes(text) << (64 - 8 * digits)) & 0x0f0f_0f0f_0f0f_0f0f;
    let pairs = (digits.wrapping_mul(10 << 8 | 1) >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100 << 16 | 1) >> 16) & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000 << 32 | 1) >> 32
}

/// A few digits as a number.
pub(super) fn number(digits: &[u8]) -> Option<i64> {
    digits
        .iter()
        .try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0')))
}
