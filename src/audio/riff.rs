//! Wav and its kin, as they are found in the wild.
//!
//! Recordings are cut off, streamed with a made-up length, lack pad bytes, or carry long headers and
//! lengths of 64 bits; so no decoder sees a file's own header. It gets a plain one written here, that
//! claims exactly the whole blocks that are there. hound decodes the common kinds, PCM and 32-bit
//! float; symphonia the others.

use std::io;

use super::input::Input;
use super::sniff::Riff;

/// What a wav holds, and where.
pub(super) struct Wav {
    pub format: WavFormat,
    /// First byte of the samples, and one past the last; the end of the file may come before it.
    pub data: (u64, u64),
}

/// What a wav's fmt chunk says.
pub(super) struct WavFormat {
    /// What the samples are; see the constants.
    pub tag: u16,
    pub channels: u16,
    /// Hz.
    pub sample_rate: u32,
    /// Bytes of one sample of every channel, or of one block where samples are packed.
    pub block_align: u16,
    /// Of one sample.
    pub bits: u16,
    /// The whole chunk.
    chunk: Vec<u8>,
}

impl WavFormat {
    pub const PCM: u16 = 1;
    pub const MS_ADPCM: u16 = 2;
    pub const FLOAT: u16 = 3;
    pub const A_LAW: u16 = 6;
    pub const MU_LAW: u16 = 7;
    pub const IMA_ADPCM: u16 = 0x11;
    pub const MP2: u16 = 0x50;
    pub const MP3: u16 = 0x55;
    /// Tag of the long form, which has the real tag at the head of its subformat GUID.
    const EXTENSIBLE: u16 = 0xFFFE;
    /// Longer fmt chunks than any codec's are cut.
    const LONGEST: usize = 1024;

    fn parse(chunk: Vec<u8>) -> Option<WavFormat> {
        let u16_at = |at: usize| {
            let bytes = chunk.get(at..at + 2)?;
            Some(u16::from_le_bytes(bytes.try_into().ok()?))
        };
        let tag = match u16_at(0)? {
            WavFormat::EXTENSIBLE => u16_at(24)?,
            tag => tag,
        };
        Some(WavFormat {
            tag,
            channels: u16_at(2)?,
            sample_rate: u32_at(&chunk, 4)?,
            block_align: u16_at(12)?,
            bits: u16_at(14)?,
            chunk,
        })
    }

    /// Bytes that belong together.
    pub fn block(&self) -> u64 {
        u64::from(self.block_align.max(1))
    }

    /// Whether blocks are single samples of every channel.
    pub fn is_plain(&self) -> bool {
        let widths = match self.tag {
            WavFormat::PCM => &[8, 16, 24, 32][..],
            WavFormat::FLOAT => &[32, 64],
            WavFormat::A_LAW | WavFormat::MU_LAW => &[8],
            _ => return false,
        };
        let bytes = u32::from(self.channels) * u32::from(self.bits) / 8;
        widths.contains(&self.bits) && bytes == u32::from(self.block_align)
    }

    /// The 44 bytes before `data_length` bytes of samples; more where the codec needs its own.
    pub fn plain_header(&self, data_length: u32) -> Vec<u8> {
        let fmt = match self.tag {
            WavFormat::MS_ADPCM | WavFormat::IMA_ADPCM => self.chunk.clone(),
            // symphonia wants the length of an extension that is not there.
            WavFormat::A_LAW | WavFormat::MU_LAW => [&self.plain_fmt()[..], &[0; 2]].concat(),
            _ => self.plain_fmt(),
        };
        let riff_length = data_length.saturating_add(fmt.len() as u32 + 20);
        let mut header = Vec::with_capacity(fmt.len() + 28);
        header.extend(b"RIFF");
        header.extend(riff_length.to_le_bytes());
        header.extend(b"WAVEfmt ");
        header.extend((fmt.len() as u32).to_le_bytes());
        header.extend(fmt);
        header.extend(b"data");
        header.extend(data_length.to_le_bytes());
        header
    }

    fn plain_fmt(&self) -> Vec<u8> {
        let byte_rate = u32::from(self.block_align).saturating_mul(self.sample_rate);
        let mut fmt = Vec::with_capacity(16);
        fmt.extend(self.tag.to_le_bytes());
        fmt.extend(self.channels.to_le_bytes());
        fmt.extend(self.sample_rate.to_le_bytes());
        fmt.extend(byte_rate.to_le_bytes());
        fmt.extend(self.block_align.to_le_bytes());
        fmt.extend(self.bits.to_le_bytes());
        fmt
    }

    /// For people.
    pub fn codec(&self) -> String {
        let name = match self.tag {
            WavFormat::PCM | WavFormat::FLOAT => {
                let kind = if self.tag == WavFormat::PCM {
                    "PCM"
                } else {
                    "float"
                };
                let (bits, block) = (self.bits, self.block_align);
                return format!("wav with {bits}-bit {kind} in blocks of {block} bytes");
            }
            0x31 => "GSM 6.10",
            0x45 | 0x64 => "G.726",
            0x160..=0x163 => "WMA",
            tag => return format!("wav with codec {tag:#06x} inside"),
        };
        format!("wav with {name} inside")
    }
}

/// How a member of the family writes its chunks.
struct Chunks {
    riff: Riff,
    /// Where the next chunk begins.
    at: u64,
    /// The true length of the samples, where a ds64 chunk told it.
    data_length: Option<u64>,
}

/// One chunk's place.
struct Chunk {
    name: [u8; 4],
    /// What its header says, without the header.
    claimed: u64,
    body: u64,
}

/// More chunks than any recorder writes; a file of nothing but chunks ends here.
const MOST_CHUNKS: usize = 10_000;

/// Finds the format and the samples; `None` where the file ends before them.
pub(super) fn read_header(input: &mut Input, riff: Riff) -> io::Result<Option<Wav>> {
    let mut chunks = Chunks {
        riff,
        at: if riff == Riff::Wav { 12 } else { 40 },
        data_length: None,
    };
    let mut format = None;
    for _ in 0..MOST_CHUNKS {
        let Some(chunk) = chunks.next(input)? else {
            return Ok(None);
        };
        match &chunk.name {
            b"fmt " => {
                let most = (chunk.claimed as usize).min(WavFormat::LONGEST);
                format = WavFormat::parse(input.piece(chunk.body, most)?);
            }
            b"ds64" => chunks.data_length = u64_at(&input.piece(chunk.body, 16)?, 8),
            b"data" => {
                let end = chunks.data_end(input, &chunk)?;
                let data = (chunk.body, end);
                return Ok(format.map(|format| Wav { format, data }));
            }
            _ => {}
        }
        chunks.skip(input, &chunk)?;
    }
    Ok(None)
}

impl Chunks {
    fn next(&mut self, input: &mut Input) -> io::Result<Option<Chunk>> {
        let header = if self.riff == Riff::Wav { 8 } else { 24 };
        let head = input.piece(self.at, header)?;
        let (Some(name), true) = (head.first_chunk::<4>(), head.len() == header) else {
            return Ok(None);
        };
        let claimed = match self.riff {
            Riff::Wav => u32_at(&head, 4).map(u64::from),
            // Counted from the chunk's head on.
            Riff::Wave64 => u64_at(&head, 16).map(|length| length.saturating_sub(24)),
        };
        Ok(claimed.map(|claimed| Chunk {
            name: *name,
            claimed,
            body: self.at + header as u64,
        }))
    }

    /// Where the samples end: where the chunk says, or else where the file does.
    fn data_end(&self, input: &mut Input, chunk: &Chunk) -> io::Result<u64> {
        const UNKNOWN: u64 = u32::MAX as u64;
        let claimed = match (self.riff, chunk.claimed, self.data_length) {
            (Riff::Wav, UNKNOWN, Some(length)) => length,
            // A writer that cannot rewind leaves 0 or 0xFFFFFFFF.
            (Riff::Wav, UNKNOWN, None) => return Ok(u64::MAX),
            (_, 0, _) if !self.is_complete(input)? => return Ok(u64::MAX),
            (_, claimed, _) => claimed,
        };
        Ok(chunk.body.saturating_add(claimed))
    }

    /// Whether the file is as long as its head says.
    fn is_complete(&self, input: &mut Input) -> io::Result<bool> {
        let head = input.piece(0, 24)?;
        let claimed = match self.riff {
            Riff::Wav => u32_at(&head, 4).map(|length| u64::from(length) + 8),
            Riff::Wave64 => u64_at(&head, 16),
        };
        Ok(claimed == Some(input.length()?))
    }

    /// Goes to the next chunk.
    fn skip(&mut self, input: &mut Input, chunk: &Chunk) -> io::Result<()> {
        let end = chunk.body.saturating_add(chunk.claimed);
        self.at = match self.riff {
            Riff::Wave64 => end.checked_next_multiple_of(8).unwrap_or(u64::MAX),
            Riff::Wav if chunk.claimed.is_multiple_of(2) => end,
            Riff::Wav => end.saturating_add(u64::from(has_pad(&input.piece(end, 5)?))),
        };
        Ok(())
    }
}

/// Chunks begin at even bytes, but some writers forget the pad byte behind an odd one.
/// `rest`: what follows that chunk.
fn has_pad(rest: &[u8]) -> bool {
    let name_at = |at: usize| rest.get(at..at + 4).unwrap_or_default();
    let known = |name: &[u8]| [&b"data"[..], b"fmt ", b"fact", b"LIST"].contains(&name);
    let printable = |name: &[u8]| name.iter().all(|byte| (b' '..=b'~').contains(byte));
    if known(name_at(0)) || known(name_at(1)) {
        return known(name_at(1));
    }
    name_at(0).len() < 4 || !printable(name_at(0))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + 8)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}
