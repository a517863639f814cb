//! Gzip of bodies that are mostly the same from scrape to scrape.
//!
//! A body is cut into blocks, each compressed by itself and kept for as long as it occurs again: of a hundred thousand
//! series few change between two scrapes, and only their blocks are compressed anew. The content at a point decides
//! whether a block ends there, not the number of bytes before it. So a new series does not move the later cuts. Knows
//! neither formats nor HTTP.

use std::collections::HashMap;
use std::io;

use flate2::{Compress, Compression, FlushCompress, Status};
use memchr::{memchr, memrchr};
use sha2::{Digest as _, Sha256};
use warp::hyper::body::Bytes;

/// The level: that of Go's and of nearly everybody's gzip.
const LEVEL: Compression = Compression::new(6);

/// A block is at least so long, in bytes, or the body's last: what repeats is found within a block only.
const LEAST: usize = 128 * 1024;

/// No block is longer.
const MOST: usize = 512 * 1024;

/// Among so many lines one ends a block, beyond the least.
const LINES_A_CUT: u32 = 128;

/// Compressions that a block is kept for without being used: several formats may be asked for in turn.
const KEPT_FOR: u64 = 4;

/// A member without name or time, made on any system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// A last block of no bytes, in the codes that deflate fixes.
const END: [u8; 2] = [3, 0];

/// Compresses one body after the other.
#[derive(Debug, Default)]
pub(super) struct Gzip {
    /// Compressed blocks by the digest of what they say.
    blocks: HashMap<[u8; 32], Block>,
    /// Grows with each compression.
    clock: u64,
}

#[derive(Debug)]
struct Block {
    compressed: Box<[u8]>,
    used: u64,
}

impl Gzip {
    /// `plain` as one member of gzip.
    ///
    /// # Errors
    ///
    /// If the compressor fails, which it does on no input.
    pub(super) fn compress(&mut self, plain: &[u8]) -> io::Result<Bytes> {
        self.clock += 1;
        let mut compressor = Compress::new(LEVEL, false);
        let mut out = Vec::with_capacity(plain.len() / 16);
        out.extend_from_slice(&HEADER);
        let mut rest = plain;
        while !rest.is_empty() {
            let (block, after) = rest.split_at(cut(rest));
            let digest = Sha256::digest(block).into();
            let clock = self.clock;
            if let Some(known) = self.blocks.get_mut(&digest) {
                known.used = clock;
                out.extend_from_slice(&known.compressed);
            } else {
                let compressed = deflate(&mut compressor, block)?;
                out.extend_from_slice(&compressed);
                self.blocks.insert(digest, Block { compressed, used: clock });
            }
            rest = after;
        }
        self.blocks.retain(|_, block| self.clock - block.used < KEPT_FOR);
        out.extend_from_slice(&END);
        out.extend_from_slice(&crc32fast::hash(plain).to_le_bytes());
        #[expect(clippy::cast_possible_truncation, reason = "gzip keeps the length modulo 2^32")]
        out.extend_from_slice(&(plain.len() as u32).to_le_bytes());
        Ok(out.into())
    }
}

/// A block that refers to nothing before it and ends at a whole byte, so that any may follow any.
fn deflate(compressor: &mut Compress, block: &[u8]) -> io::Result<Box<[u8]>> {
    compressor.reset();
    let mut out = Vec::with_capacity(block.len() / 8 + 64);
    loop {
        let used = usize::try_from(compressor.total_in()).map_err(io::Error::other)?;
        let status = compressor.compress_vec(&block[used..], &mut out, FlushCompress::Full)?;
        // All is out when there was room for more.
        if compressor.total_in() == block.len() as u64 && out.len() < out.capacity() {
            return Ok(out.into());
        }
        if status == Status::BufError && out.len() < out.capacity() {
            return Err(io::Error::other("the compressor makes no progress"));
        }
        out.reserve(out.capacity());
    }
}

/// The length of the block at the front of `bytes`.
fn cut(bytes: &[u8]) -> usize {
    let bytes = &bytes[..bytes.len().min(MOST)];
    let mut at = LEAST;
    while let Some(length) = bytes.get(at..).and_then(|rest| memchr(b'\n', rest)) {
        let line = &bytes[at..at + length];
        at += length + 1;
        // The value behind the last space changes, the series before it does not.
        let series = memrchr(b' ', line).map_or(line, |space| &line[..space]);
        if crc32fast::hash(series).is_multiple_of(LINES_A_CUT) {
            return at;
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fmt::Write as _;
    use std::io::Read as _;

    use super::*;

    fn inflate(bytes: &[u8]) -> Vec<u8> {
        let (mut text, mut decoder) = (Vec::new(), flate2::read::GzDecoder::new(bytes));
        decoder.read_to_end(&mut text).unwrap();
        assert!(decoder.into_inner().is_empty(), "one member and nothing behind it");
        text
    }

    fn body(series: impl Iterator<Item = u32>, value: impl Fn(u32) -> u32) -> Vec<u8> {
        let mut text = String::new();
        for number in series {
            writeln!(text, "etcha_commands_total{{error=\"0\",id=\"command {number}\"}} {}", value(number))
                .unwrap();
        }
        text.into_bytes()
    }

    #[test]
    fn any_body_comes_back_and_none_grows_much() {
        let mut gzip = Gzip::default();
        // Bytes that do not compress, with a line end now and then, and none at all.
        let noise: Vec<u8> =
            (0u64..).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).take(1_500_000).collect();
        let solid: Vec<u8> = noise.iter().map(|byte| byte | 0x80).collect();
        for plain in [&[][..], b"a", &noise, &solid, &vec![b'x'; 3_000_000], &body(0..50_000, |_| 7)] {
            let compressed = gzip.compress(plain).unwrap();
            assert_eq!(inflate(&compressed), plain);
            assert!(compressed.len() <= plain.len() + plain.len() / 100 + 64, "{}", plain.len());
        }
    }

    #[test]
    fn what_did_not_change_is_not_compressed_again_and_what_is_gone_is_forgotten() {
        let mut gzip = Gzip::default();
        let mut fresh = |body: &[u8]| {
            let before: Vec<_> = gzip.blocks.keys().copied().collect();
            assert_eq!(inflate(&gzip.compress(body).unwrap()), body);
            gzip.blocks.keys().filter(|digest| !before.contains(*digest)).count()
        };
        let first = fresh(&body(0..50_000, |_| 9));
        assert!(first > 10, "{first}");
        // A longer value, and a series that is born: each in a block of its own.
        assert_eq!(fresh(&body(0..50_000, |number| if number == 20_000 { 10 } else { 9 })), 1);
        assert!(fresh(&body((0..10).chain(5..50_000), |_| 9)) <= 2);
        for _ in 0..KEPT_FOR {
            fresh(b"little");
        }
        assert_eq!(gzip.blocks.len(), 1);
    }

    #[test]
    fn the_cuts_cost_little() {
        use std::io::Write as _;
        let body = body(0..100_000, |number| number % 7);
        let mut whole = flate2::write::GzEncoder::new(Vec::new(), LEVEL);
        whole.write_all(&body).unwrap();
        let (whole, blocks) = (whole.finish().unwrap().len(), Gzip::default().compress(&body).unwrap().len());
        assert!(blocks * 100 <= whole * 110, "{blocks} for {whole}");
    }
}
