//! The content of a compressed file: member after member, up to its end or its damage.
//!
//! What is read of a damaged file depends on its bytes alone, not on how the caller cuts its reads: each program that
//! reads it sees the same lines. The libraries do not promise that: they drop what they decoded in the call that meets the
//! damage. So gzip is asked how much it wrote before its error, and zstd gets one block a call.

use std::io::{self, BufRead, ErrorKind, Read};

use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Decoder as Frames, InBuffer, Operation as _, OutBuffer};

use super::{Compression, GZIP, ZSTD, ZSTD_SKIPPABLE};

/// Memory that a zstd stream may ask for, as a power of two: 8 MiB, which is what its levels up to 19 use.
const MAX_ZSTD_WINDOW: u32 = 23;

/// Window of a gzip stream, as a power of two: the largest there is.
const GZIP_WINDOW: u8 = 15;

/// Bytes of a zstd block's header. What the decoder asks for includes that of the block after the next.
const ZSTD_BLOCK_HEADER_BYTES: usize = 3;

/// Bytes of a zstd block at most. It may ask for more where they are to be skipped.
const MAX_ZSTD_BLOCK_BYTES: usize = 128 * 1024;

/// NULs passed over in search of a further member: what a lost tail or the blocks of an archive leave, and few enough to be
/// passed over within one call. Behind more of them nothing is looked for.
const MAX_PADDING_BYTES: u64 = 16 * 1024 * 1024;

/// The longest of the bytes that a member begins with.
const FRONT_BYTES: usize = 4;

/// The plain content of a compressed file.
///
/// NULs between members and behind the last one are passed over: power loss leaves them at the end of a file, and archives
/// fill their blocks with them. Other bytes behind a whole member that begin no further one are ignored, as gzip does.
///
/// Reading fails with [`ErrorKind::UnexpectedEof`] where the file ends early, as one does that is still being written,
/// and with [`ErrorKind::InvalidData`] where it is damaged, or is not what its name says. Such an error says after how many
/// bytes of content; everything before it was given out, and each further call fails with it.
pub struct Decoder<R> {
    file: R,
    form: Form,
    place: Place,
    /// Bytes that were taken from the file and not decoded yet.
    front: Vec<u8>,
    /// Bytes of content given out.
    content: u64,
}

enum Form {
    Gzip(Decompress),
    Zstd {
        frames: Frames<'static>,
        /// Bytes that the decoder asks for.
        wanted: usize,
        /// Whether it may have more content than the last buffer had room for.
        has_more: bool,
    },
}

/// Where in the file it is.
enum Place {
    /// Before the first member.
    Start,
    InMember,
    /// Behind a member.
    Between,
    /// Nothing more will come.
    End,
    /// At what cannot be decoded.
    Failed(ErrorKind, String),
}

/// What came of one step.
struct Step {
    used: usize,
    written: usize,
    end: Result<bool, io::Error>,
}

impl<R: BufRead> Decoder<R> {
    /// A decoder of `file`; [`ErrorKind::Unsupported`] if its form is not read here.
    pub(super) fn new(form: Compression, file: R) -> io::Result<Decoder<R>> {
        let form = match form {
            Compression::Gzip => Form::Gzip(Decompress::new_gzip(GZIP_WINDOW)),
            Compression::Zstd => {
                let mut frames = Frames::new()?;
                frames.set_parameter(DParameter::WindowLogMax(MAX_ZSTD_WINDOW))?;
                Form::Zstd { frames, wanted: FRONT_BYTES, has_more: false }
            }
            Compression::Other => {
                let reason = "compressed in a form that cannot be read; gzip and zstd can, \
                            see `compresscmd` and `compressext` of logrotate";
                return Err(io::Error::new(ErrorKind::Unsupported, reason));
            }
        };
        Ok(Decoder { file, form, place: Place::Start, front: Vec::new(), content: 0 })
    }

    /// Goes to the next member, if there is one.
    fn next_member(&mut self) -> io::Result<()> {
        let is_first = matches!(self.place, Place::Start);
        if !is_first && !self.pass_padding()? {
            self.place = Place::End;
            return Ok(());
        }
        self.gather(FRONT_BYTES)?;
        self.place = match self.form.begins_with(&self.front) {
            Begins::Member => {
                self.form.restart(is_first);
                Place::InMember
            }
            Begins::Nothing if self.front.is_empty() => Place::End,
            Begins::Early => self.failed(ErrorKind::UnexpectedEof, "in the header of a member"),
            Begins::Nothing if is_first => self.failed(ErrorKind::InvalidData, "it has no header"),
            Begins::Nothing => Place::End,
        };
        Ok(())
    }

    /// Passes over NULs; says whether anything else follows.
    fn pass_padding(&mut self) -> io::Result<bool> {
        let mut passed = 0;
        while passed <= MAX_PADDING_BYTES {
            let bytes = self.file.fill_buf()?;
            if bytes.is_empty() {
                return Ok(false);
            }
            let padding = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
            let is_over = padding < bytes.len();
            self.file.consume(padding);
            passed += padding as u64;
            if is_over {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes bytes from the file until there are so many in front, or none is left.
    fn gather(&mut self, bytes: usize) -> io::Result<()> {
        while self.front.len() < bytes {
            let next = self.file.fill_buf()?;
            if next.is_empty() {
                break;
            }
            let taken = next.len().min(bytes - self.front.len());
            self.front.extend_from_slice(&next[..taken]);
            self.file.consume(taken);
        }
        Ok(())
    }

    /// Decodes some of a member; says how many bytes of content that gave.
    fn decode(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.gather(self.form.at_one_go())?;
        let has_front = !self.front.is_empty();
        let input = if has_front { &self.front[..] } else { self.file.fill_buf()? };
        let (is_at_end, had_more) = (input.is_empty(), self.form.has_more());
        let Step { used, written, end } = self.form.step(input, buffer);
        if has_front {
            self.front.drain(..used);
        } else {
            self.file.consume(used);
        }
        self.content += written as u64;
        match end {
            Ok(true) => self.place = Place::Between,
            Ok(false) if used + written > 0 || had_more => {}
            Ok(false) if is_at_end => self.place = self.failed(ErrorKind::UnexpectedEof, "in a member"),
            Ok(false) => self.place = self.failed(ErrorKind::InvalidData, "it does not go on"),
            Err(error) => self.place = self.failed(ErrorKind::InvalidData, &error.to_string()),
        }
        Ok(written)
    }

    fn failed(&self, kind: ErrorKind, why: &str) -> Place {
        let what = if kind == ErrorKind::UnexpectedEof { "ends early" } else { "damaged" };
        Place::Failed(kind, format!("{what} after {} bytes of content: {why}", self.content))
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !buffer.is_empty() {
            match &self.place {
                Place::Start | Place::Between => self.next_member()?,
                Place::InMember => {
                    let written = self.decode(buffer)?;
                    if written > 0 {
                        return Ok(written);
                    }
                }
                Place::End => break,
                Place::Failed(kind, why) => return Err(io::Error::new(*kind, why.clone())),
            }
        }
        Ok(0)
    }
}

/// What bytes begin.
enum Begins {
    Member,
    /// A member of which too little is there.
    Early,
    Nothing,
}

impl Form {
    fn begins_with(&self, bytes: &[u8]) -> Begins {
        let magic = match self {
            Form::Gzip(_) => GZIP,
            Form::Zstd { .. } => ZSTD,
        };
        let is_zstd = matches!(self, Form::Zstd { .. });
        let is_one = bytes.starts_with(magic) || is_zstd && is_skippable(bytes);
        let is_early = !bytes.is_empty()
            && (magic.starts_with(bytes)
                || is_zstd && bytes[0] & 0xf0 == 0x50 && ZSTD_SKIPPABLE.starts_with(&bytes[1..]));
        if is_one {
            Begins::Member
        } else if is_early {
            Begins::Early
        } else {
            Begins::Nothing
        }
    }

    /// Makes ready for a member.
    fn restart(&mut self, is_first: bool) {
        match self {
            Form::Gzip(_) if is_first => {}
            Form::Gzip(member) => *member = Decompress::new_gzip(GZIP_WINDOW),
            // It starts anew behind each frame.
            Form::Zstd { wanted, .. } => *wanted = FRONT_BYTES,
        }
    }

    /// Bytes that must come together for the outcome to be the same however the file is cut: of zstd, a block.
    fn at_one_go(&self) -> usize {
        match self {
            Form::Gzip(_) => 0,
            // Without the header of the next block no second block is decoded, whose damage would cost the first.
            Form::Zstd { wanted, .. } if *wanted > ZSTD_BLOCK_HEADER_BYTES => {
                (wanted - ZSTD_BLOCK_HEADER_BYTES).min(MAX_ZSTD_BLOCK_BYTES)
            }
            Form::Zstd { wanted, .. } => *wanted,
        }
    }

    fn has_more(&self) -> bool {
        matches!(self, Form::Zstd { has_more: true, .. })
    }

    /// Decodes some of `input` to `buffer`; says at last whether the member ended.
    fn step(&mut self, input: &[u8], buffer: &mut [u8]) -> Step {
        let at_one_go = self.at_one_go();
        match self {
            Form::Gzip(member) => {
                let (before, given) = (member.total_in(), member.total_out());
                let end = member.decompress(input, buffer, FlushDecompress::None);
                let past = |total: u64, before: u64| usize::try_from(total - before).unwrap_or(usize::MAX);
                Step {
                    used: past(member.total_in(), before),
                    written: past(member.total_out(), given),
                    // Its own words depend on how the file was cut.
                    end: end
                        .map(|status| status == Status::StreamEnd)
                        .map_err(|_| io::Error::other("its gzip data contradict themselves")),
                }
            }
            Form::Zstd { frames, wanted, has_more } => {
                let give = if *has_more { 0 } else { at_one_go.min(input.len()) };
                let (mut source, mut target) = (InBuffer::around(&input[..give]), OutBuffer::around(buffer));
                let left = frames.run(&mut source, &mut target);
                let (used, written) = (source.pos(), target.pos());
                *has_more = left.is_ok() && written == buffer.len();
                let end = left.map(|left| {
                    *wanted = left;
                    left == 0
                });
                Step { used, written, end }
            }
        }
    }
}

/// Whether these bytes begin a skippable zstd frame, which has no content.
pub(super) fn is_skippable(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| first & 0xf0 == 0x50) && bytes[1..].starts_with(&ZSTD_SKIPPABLE)
}

impl<R> std::fmt::Debug for Decoder<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").field("content", &self.content).finish_non_exhaustive()
    }
}
