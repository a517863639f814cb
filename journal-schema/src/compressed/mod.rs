//! Compressed segments: the first bytes and the names by which they are recognised. [`Decoder`] reads the
//! content.
//!
//! Writers never compress; logrotate and people do, and name what they made after its form. Opens no file.

mod decoder;

use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

pub use self::decoder::Decoder;
use self::decoder::is_skippable;

/// Endings of forms that are not read here. Without them such a file would be one of lines that cannot be used.
const OTHERS: [&str; 7] = ["bz2", "lz", "lz4", "lzma", "xz", "Z", "zip"];

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// `.gz`, of one or several members.
    Gzip,
    /// `.zst`, of one or several frames.
    Zstd,
    /// In a form that is not read here: `.bz2`, `.lz`, `.lz4`, `.lzma`, `.xz`, `.Z`, `.zip`.
    Other,
}

/// What a gzip member begins with.
const GZIP: &[u8] = b"\x1f\x8b";

/// What a zstd frame begins with.
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";

/// What compressed files begin with. No other list of them exists.
const MAGIC: [(&[u8], Compression); 8] = [
    (GZIP, Compression::Gzip),
    (ZSTD, Compression::Zstd),
    (b"BZh", Compression::Other),
    (b"\xfd7zXZ\0", Compression::Other),
    (b"\x04\x22\x4d\x18", Compression::Other),
    (b"LZIP", Compression::Other),
    (b"\x1f\x9d", Compression::Other),
    (b"PK\x03\x04", Compression::Other),
];

/// What follows the first byte, 50 to 5f in hexadecimal, of a zstd frame that is to be skipped. Some compressors put one at
/// the front.
const ZSTD_SKIPPABLE: [u8; 3] = *b"\x2a\x4d\x18";

impl Compression {
    /// Bytes of a file that [`Compression::of_content`] looks at.
    pub const MAGIC_BYTES: usize = 6;

    /// As the first bytes of a file say, whatever its name is; `None` for a plain file.
    pub fn of_content(first: &[u8]) -> Option<Compression> {
        if is_skippable(first) {
            return Some(Compression::Zstd);
        }
        MAGIC.iter().find(|(magic, _)| first.starts_with(magic)).map(|(_, compression)| *compression)
    }

    /// As the ending of a file's name says; `None` for a plain file.
    pub fn of(path: &Path) -> Option<Compression> {
        match path.extension()?.to_str()? {
            "gz" => Some(Compression::Gzip),
            "zst" => Some(Compression::Zstd),
            ending => OTHERS.contains(&ending).then_some(Compression::Other),
        }
    }

    /// What `file` holds.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::Unsupported`] for [`Compression::Other`]; or memory for the decoder cannot be had.
    pub fn decode<R: BufRead>(self, file: R) -> io::Result<Decoder<R>> {
        Decoder::new(self, file)
    }
}

/// The plain content of `file`, which may be compressed: its first bytes say so.
///
/// # Errors
///
/// Those of reading the first bytes, and of [`Compression::decode`].
pub fn plain<'a>(mut file: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut first = Vec::new();
    file.by_ref().take(Compression::MAGIC_BYTES as u64).read_to_end(&mut first)?;
    let compression = Compression::of_content(&first);
    let whole = Cursor::new(first).chain(file);
    Ok(match compression {
        None => Box::new(whole),
        Some(compression) => Box::new(compression.decode(BufReader::new(whole))?),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::{ErrorKind, Write as _};

    use proptest::prelude::*;

    use super::*;

    fn packed(form: Compression, text: &str) -> Vec<u8> {
        match form {
            Compression::Zstd => zstd::encode_all(text.as_bytes(), 3).unwrap(),
            _ => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(text.as_bytes()).unwrap();
                encoder.finish().unwrap()
            }
        }
    }

    fn read(form: Compression, bytes: &[u8]) -> (String, Option<ErrorKind>) {
        let mut text = String::new();
        let error = form.decode(bytes).unwrap().read_to_string(&mut text).err();
        (text, error.map(|error| error.kind()))
    }

    #[test]
    fn the_first_bytes_tell_the_form() {
        for form in [Compression::Gzip, Compression::Zstd] {
            assert_eq!(
                Compression::of_content(&packed(form, "text")[..Compression::MAGIC_BYTES]),
                Some(form)
            );
        }
        for other in [&b"\xfd7zXZ\0"[..], b"\x1f\x9d\x90", b"BZh9", b"PK\x03\x04"] {
            assert_eq!(Compression::of_content(other), Some(Compression::Other), "{other:?}");
        }
        for plain in [&b"{\"v\":1"[..], b"\0\0\0\0\0\0", b"", b"\x1f"] {
            assert_eq!(Compression::of_content(plain), None, "{plain:?}");
        }
    }

    #[test]
    fn the_ending_of_a_name_tells_the_form() {
        for (name, form) in [
            ("journal.jsonl", None),
            ("journal.jsonl.1", None),
            ("journal.jsonl-20260131.gz", Some(Compression::Gzip)),
            ("journal.jsonl.1.zst", Some(Compression::Zstd)),
            ("journal.jsonl.1.xz", Some(Compression::Other)),
            ("gz", None),
        ] {
            assert_eq!(Compression::of(Path::new(name)), form, "{name}");
        }
    }

    #[test]
    fn several_members_are_one_content_and_an_early_end_is_told_from_damage() {
        for form in [Compression::Gzip, Compression::Zstd] {
            let both = [packed(form, "one\n"), packed(form, "two\n")].concat();
            assert_eq!(read(form, &both), ("one\ntwo\n".to_owned(), None), "{form:?}");
            assert_eq!(read(form, &both[..both.len() - 2]).1, Some(ErrorKind::UnexpectedEof), "{form:?}");
            assert_eq!(read(form, b"no such thing").1, Some(ErrorKind::InvalidData), "{form:?}");
            assert_eq!(read(form, b"").0, "", "{form:?}");
        }
    }

    /// Content that does not compress to nothing.
    fn lines(count: u64) -> String {
        (0..count).map(|number| format!("line {number} {}\n", number * 7919 % 10_007)).collect()
    }

    /// What is read where the file comes in chunks of `chunk` bytes and is read `step` bytes at a time.
    fn read_in(
        form: Compression,
        bytes: &[u8],
        chunk: usize,
        step: usize,
    ) -> (Vec<u8>, Option<(ErrorKind, String)>) {
        let file = io::BufReader::with_capacity(chunk, bytes);
        let (mut decoder, mut content, mut buffer) = (form.decode(file).unwrap(), Vec::new(), vec![0; step]);
        loop {
            match decoder.read(&mut buffer) {
                Ok(0) => return (content, None),
                Ok(read) => content.extend_from_slice(&buffer[..read]),
                Err(error) => {
                    let again = decoder.read(&mut buffer).unwrap_err();
                    assert_eq!(again.to_string(), error.to_string(), "it stays damaged");
                    return (content, Some((error.kind(), error.to_string())));
                }
            }
        }
    }

    /// Two members, or two frames of several blocks each, the second with a checksum.
    fn two_of(form: Compression, text: &str) -> Vec<u8> {
        let (one, two) = text.split_at(text.len() / 2);
        let two = match form {
            Compression::Zstd => {
                let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
                encoder.include_checksum(true).unwrap();
                encoder.write_all(two.as_bytes()).unwrap();
                encoder.finish().unwrap()
            }
            _ => packed(form, two),
        };
        [packed(form, one), two].concat()
    }

    proptest! {
        #[test]
        fn how_a_damaged_file_is_read_changes_nothing_about_what_is_read_of_it(
            is_zstd in any::<bool>(),
            count in 1u64..30_000,
            place in any::<prop::sample::Index>(),
            flip in 0u8..=255,
            is_cut in any::<bool>(),
            chunk in prop_oneof![1usize..9, 1000usize..70_000],
            step in prop_oneof![1usize..300, 1000usize..300_000],
        ) {
            let form = if is_zstd { Compression::Zstd } else { Compression::Gzip };
            let mut bytes = two_of(form, &lines(count));
            let at = place.index(bytes.len());
            bytes[at] ^= flip;
            if is_cut {
                bytes.truncate(at);
            }
            let chunk = if bytes.len() > 10_000 { chunk + 100 } else { chunk };
            let whole = read_in(form, &bytes, 1 << 20, 1 << 20);
            let other = read_in(form, &bytes, chunk, step);
            prop_assert_eq!(&other.1, &whole.1);
            prop_assert!(other.0 == whole.0, "{} of {} bytes", other.0.len(), whole.0.len());
            if let Some((_, told)) = whole.1 {
                let place = format!("after {} bytes of content", whole.0.len());
                prop_assert!(told.contains(&place), "{told}: {place}");
            }
        }
    }

    #[test]
    fn a_file_that_is_cut_anywhere_gives_a_prefix_of_its_content_and_says_that_it_ends_early() {
        for form in [Compression::Gzip, Compression::Zstd] {
            let text = lines(60);
            let bytes = two_of(form, &text);
            let first = packed(form, &text[..text.len() / 2]).len();
            for end in 1..bytes.len() {
                let (content, error) = read_in(form, &bytes[..end], 7, 64);
                assert!(text.as_bytes().starts_with(&content), "{form:?} {end}");
                let kind = error.map(|(kind, _)| kind);
                // Without its second member, the file is whole.
                let expected = (end != first).then_some(ErrorKind::UnexpectedEof);
                assert_eq!(kind, expected, "{form:?} {end} {first}");
            }
        }
    }

    #[test]
    fn damage_costs_no_block_before_it() {
        let text = lines(50_000);
        for form in [Compression::Gzip, Compression::Zstd] {
            let mut bytes = packed(form, &text);
            let half = bytes.len() / 2;
            bytes[half..].fill(0);
            let (content, error) = read_in(form, &bytes, 8192, 1 << 20);
            assert!(content.len() > text.len() / 3, "{form:?}: {} of {}", content.len(), text.len());
            assert_eq!(error.unwrap().0, ErrorKind::InvalidData, "{form:?}");
        }
    }

    #[test]
    fn nuls_and_garbage_behind_a_whole_file_are_passed_over_and_a_member_behind_nuls_is_read() {
        for form in [Compression::Gzip, Compression::Zstd] {
            let (one, two) = (packed(form, "one\n"), packed(form, "two\n"));
            for nuls in [1, 511, 1024, 65_536, 100_000] {
                let nuls = vec![0; nuls];
                let padded = [&one[..], &nuls, &two, &nuls].concat();
                assert_eq!(read(form, &padded), ("one\ntwo\n".to_owned(), None), "{form:?}");
                let garbage = [&one[..], &nuls, b"no member"].concat();
                assert_eq!(read(form, &garbage), ("one\n".to_owned(), None), "{form:?}");
            }
            assert_eq!(read(form, &[&one[..], b"garbage"].concat()), ("one\n".to_owned(), None), "{form:?}");
            let endless = io::BufReader::new(one.chain(io::repeat(0)));
            let mut text = String::new();
            form.decode(endless).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "one\n", "{form:?}: a hole of terabytes is not read to its end");
        }
    }

    #[test]
    fn members_without_content_and_frames_to_be_skipped_have_none() {
        let skipped = [&b"\x5a\x2a\x4d\x18\x04\0\0\0"[..], b"note"].concat();
        assert_eq!(Compression::of_content(&skipped), Some(Compression::Zstd));
        let (one, two) = (packed(Compression::Zstd, "one\n"), packed(Compression::Zstd, "two\n"));
        let zstd = [&skipped[..], &one, &skipped, &packed(Compression::Zstd, ""), &two, &skipped].concat();
        assert_eq!(read(Compression::Zstd, &zstd), ("one\ntwo\n".to_owned(), None));
        let (one, none) = (packed(Compression::Gzip, "one\n"), packed(Compression::Gzip, ""));
        assert_eq!(read(Compression::Gzip, &[&none[..], &one, &none].concat()), ("one\n".to_owned(), None));
    }

    #[test]
    fn a_frame_that_asks_for_much_memory_is_refused() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
        encoder.window_log(27).unwrap();
        // Without a size in the header, the window is what counts.
        encoder.write_all(&[b'x'; 1 << 20]).unwrap();
        assert_eq!(read(Compression::Zstd, &encoder.finish().unwrap()).1, Some(ErrorKind::InvalidData));
    }

    #[test]
    fn other_forms_are_refused_with_what_to_do() {
        let error = Compression::Other.decode(&b""[..]).unwrap_err();
        assert!(
            error.kind() == ErrorKind::Unsupported && error.to_string().contains("compresscmd"),
            "{error}"
        );
    }
}
