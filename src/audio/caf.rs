//! CAF that its reader would stumble over: cut off, within its sound, without a word on where the sound
//! ends, or with an encoding that it refuses.
//!
//! symphonia 0.6 refuses 8-bit samples in CAF, though it decodes them elsewhere, so they get a header
//! of AIFF-C, whose 8 bits are signed as well. FLAC often lacks the description that its decoder
//! wants; its frames tell it, so it gets a header of its own format.

use std::io::{self, ErrorKind};

use super::aiff;
use super::input::Input;

/// More chunks than any recorder writes, and more bytes before the sound.
const MOST_CHUNKS: usize = 100;
const LONGEST_HEADER: u64 = 1 << 20;

/// Whether the bytes begin like CAF.
pub(super) fn is_caf(head: &[u8]) -> bool {
    head.starts_with(b"caff")
}

/// Where the bytes of the sound begin and end, and a header to stand before them.
#[derive(Debug, PartialEq)]
pub(super) struct Under {
    pub header: Vec<u8>,
    pub start: u64,
    pub end: u64,
}

/// The header that the sound needs; `None` where the file's own is right. An error where the table
/// of packets did not arrive, without which nothing can be decoded.
pub(super) fn header(input: &mut Input, start: u64) -> io::Result<Option<Under>> {
    let end = input.length()?;
    let (mut description, mut data, mut table) = (None, None, false);
    let mut at = start + 8;
    for _ in 0..MOST_CHUNKS {
        let head = input.piece(at, 12)?;
        let Some((name, length)) = head.split_last_chunk::<8>() else {
            break;
        };
        let body = at + 12;
        // A length of -1, of a recorder that cannot rewind, is far behind any end.
        at = body.saturating_add(u64::from_be_bytes(*length));
        match name {
            b"desc" => description = Description::parse(&input.piece(body, 32)?),
            b"data" => data = Some((body, at)),
            b"pakt" => table |= at <= end,
            _ => {}
        }
        // No system seeks to the end that -1 would be.
        if at > end {
            break;
        }
    }
    let Some((body, claimed)) = data else {
        return Ok(None);
    };
    if let Some(description) = &description {
        // A count of edits stands before the sound.
        let (start, end) = (body + 4, claimed.min(end));
        let length = end.saturating_sub(start);
        if let Some(header) = description.header(length, &input.piece(start, 4)?) {
            return Ok(Some(Under { header, start, end }));
        }
        if description.varies && !table && at >= end {
            let cut = "it begins like caf, but is cut off before the end of its table of packets";
            return Err(io::Error::new(ErrorKind::UnexpectedEof, cut));
        }
    }
    let size = body - start;
    if claimed <= end || size > LONGEST_HEADER {
        return Ok(None);
    }
    let mut header = input.piece(start, size as usize)?;
    let length = header.len() - 8..;
    header[length].copy_from_slice(&(end - body).to_be_bytes());
    let start = body;
    Ok(Some(Under { header, start, end }))
}

/// What the chunk at the head says of the sound.
struct Description {
    /// Hz.
    sample_rate: u32,
    encoding: [u8; 4],
    channels: u32,
    /// Of one packet; 0 where they differ.
    frames: u32,
    bytes: u32,
    bits: u32,
    /// Whether packets are of different lengths, that a table tells.
    varies: bool,
}

impl Description {
    fn parse(chunk: &[u8]) -> Option<Description> {
        let u32_at = |at: usize| {
            let bytes = chunk.get(at..)?.first_chunk()?;
            Some(u32::from_be_bytes(*bytes))
        };
        let (bytes, frames) = (u32_at(16)?, u32_at(20)?);
        Some(Description {
            sample_rate: f64::from_be_bytes(*chunk.first_chunk()?) as u32,
            encoding: *chunk.get(8..)?.first_chunk()?,
            bytes,
            frames,
            channels: u32_at(24)?,
            bits: u32_at(28)?,
            varies: bytes == 0 || frames == 0,
        })
    }

    /// A header of another format for `length` bytes of sound that begin with `sound`.
    fn header(&self, length: u64, sound: &[u8]) -> Option<Vec<u8>> {
        let channels = u16::try_from(self.channels).ok()?;
        if self.sample_rate == 0 || channels == 0 {
            return None;
        }
        let plain = self.bytes == self.channels && self.frames == 1;
        let (encoding, bits) = match &self.encoding {
            b"flac" => return self.flac_header(sound),
            b"lpcm" if plain && self.bits == 8 => (b"NONE", 8),
            // The decoded samples have 16 bits.
            b"alaw" if plain => (b"alaw", 16),
            b"ulaw" if plain => (b"ulaw", 16),
            _ => return None,
        };
        Some(aiff::header(
            encoding,
            channels,
            bits,
            self.sample_rate,
            length,
        ))
    }

    /// The first frame tells the bits of a sample and the samples of a block; `None` where it is none,
    /// or they are rare ones.
    fn flac_header(&self, sound: &[u8]) -> Option<Vec<u8>> {
        let &[0xFF, blocks, sizes, kind] = sound else {
            return None;
        };
        let bits = [0, 8, 12, 0, 16, 20, 24, 32][usize::from(kind >> 1 & 7)];
        let (shortest, longest) = match (blocks, sizes >> 4) {
            // Blocks of any length.
            (0xF9, _) => (16, u16::MAX),
            (0xF8, 1) => (192, 192),
            (0xF8, n @ 2..=5) => (576 << (n - 2), 576 << (n - 2)),
            (0xF8, n @ 8..=15) => (256 << (n - 8), 256 << (n - 8)),
            _ => return None,
        };
        if bits == 0 || self.channels > 8 || self.sample_rate >= 1 << 20 {
            return None;
        }
        let mut header = b"fLaC\x80\0\0\x22".to_vec();
        header.extend(u16::to_be_bytes(shortest));
        header.extend(u16::to_be_bytes(longest));
        // The lengths of packets are unknown, as is the number of samples below.
        header.extend([0; 6]);
        let fields = u64::from(self.sample_rate) << 44
            | u64::from(self.channels - 1) << 41
            | (bits - 1) << 36;
        header.extend(fields.to_be_bytes());
        // No sum of the samples.
        header.extend([0; 16]);
        Some(header)
    }
}
