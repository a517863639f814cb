//! Compressed segments: which names tell of them, and the content within.
//!
//! Writers never compress; logrotate and people do, and name what they made after its form. Knows files by their names
//! alone and opens none.

use std::io::{self, BufRead, ErrorKind, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

/// Memory that a zstd stream may ask for, as a power of two: 8 MiB, which is what its levels up to 19 use.
const MAX_ZSTD_WINDOW: u32 = 23;

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

/// What compressed files begin with.
const MAGIC: [(&[u8], Compression); 7] = [
    (b"\x1f\x8b", Compression::Gzip),
    (b"\x28\xb5\x2f\xfd", Compression::Zstd),
    (b"BZh", Compression::Other),
    (b"\xfd7zXZ\0", Compression::Other),
    (b"\x04\x22\x4d\x18", Compression::Other),
    (b"LZIP", Compression::Other),
    (b"PK\x03\x04", Compression::Other),
];

impl Compression {
    /// Bytes of a file that [`Compression::of_content`] looks at.
    pub const MAGIC_BYTES: usize = 6;

    /// As the first bytes of a file say, whatever its name is; `None` for a plain file.
    pub fn of_content(first: &[u8]) -> Option<Compression> {
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
    /// [`ErrorKind::Unsupported`] for [`Compression::Other`]; or memory for the decoder cannot be had.
    pub fn decode<R: BufRead>(self, file: R) -> io::Result<Decoder<R>> {
        Ok(Decoder(match self {
            Compression::Gzip => Form::Gzip(Box::new(MultiGzDecoder::new(file))),
            Compression::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(file)?;
                decoder.window_log_max(MAX_ZSTD_WINDOW)?;
                Form::Zstd(decoder)
            }
            Compression::Other => {
                let reason = "compressed in a form that cannot be read; gzip and zstd can, \
                            see `compresscmd` and `compressext` of logrotate";
                return Err(io::Error::new(ErrorKind::Unsupported, reason));
            }
        }))
    }
}

/// The plain content of a compressed file.
///
/// Reading fails with [`ErrorKind::UnexpectedEof`] where the file ends early, as one does that is still being written,
/// and with [`ErrorKind::InvalidData`] where it is damaged, or is not what its name says.
pub struct Decoder<R: BufRead>(Form<R>);

enum Form<R: BufRead> {
    Gzip(Box<MultiGzDecoder<R>>),
    Zstd(zstd::Decoder<'static, R>),
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = match &mut self.0 {
            Form::Gzip(decoder) => decoder.read(buffer),
            Form::Zstd(decoder) => decoder.read(buffer),
        };
        result.map_err(|error| match error.kind() {
            // The decoders' own words for damage; the system's errors have other kinds.
            ErrorKind::InvalidInput | ErrorKind::Other => io::Error::new(ErrorKind::InvalidData, error),
            _ => error,
        })
    }
}

impl<R: BufRead> std::fmt::Debug for Decoder<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Write as _;

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
        assert_eq!(Compression::of_content(b"\xfd7zXZ\0"), Some(Compression::Other));
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
