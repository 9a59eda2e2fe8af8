//! AIFF that was cut off, or has an encoding inside that is not read; and headers of AIFF.
//!
//! Its reader gives up where the sound's chunk ends behind the file, so it gets a header that claims
//! what is there.

use std::io::{self, ErrorKind};

use super::input::Input;

/// More chunks than any recorder writes, and more bytes before the sound.
const MOST_CHUNKS: usize = 100;
const LONGEST_HEADER: u64 = 1 << 20;

/// Encodings of AIFF-C that symphonia reads, in either case of letters.
const READ: [&[u8; 4]; 11] = [
    b"none", b"alaw", b"ulaw", b"in24", b"in32", b"23ni", b"fl32", b"fl64", b"sowt", b"twos",
    b"raw ",
];

/// Whether the bytes begin like AIFF.
pub(super) fn is_aiff(head: &[u8]) -> bool {
    head.starts_with(b"FORM")
}

/// Where the bytes of the sound's chunk begin, and a header to stand before them; `None` where the
/// file's own header is right. An error where the encoding is not read.
pub(super) fn header_of_cut(input: &mut Input, start: u64) -> io::Result<Option<(u64, Vec<u8>)>> {
    let end = input.length()?;
    let packed = input.piece(start + 8, 4)? == b"AIFC";
    let mut at = start + 12;
    for _ in 0..MOST_CHUNKS {
        let head = input.piece(at, 8)?;
        let Some((name, length)) = head.split_last_chunk::<4>() else {
            return Ok(None);
        };
        let body = at + 8;
        let behind = body + u64::from(u32::from_be_bytes(*length));
        if name == b"COMM" && packed {
            known(&input.piece(body + 18, 4)?)?;
        }
        if name == b"SSND" {
            let size = body - start;
            if behind <= end || size > LONGEST_HEADER {
                return Ok(None);
            }
            let mut header = input.piece(start, size as usize)?;
            // `behind` has 32 bits more than `body`, so these fit.
            let arrived = (end - body) as u32;
            let form = (size as u32 - 8).saturating_add(arrived);
            let length = header.len() - 4..;
            header[length].copy_from_slice(&arrived.to_be_bytes());
            header[4..8].copy_from_slice(&form.to_be_bytes());
            return Ok(Some((body, header)));
        }
        // Chunks begin at even bytes.
        at = behind + (behind - body) % 2;
    }
    Ok(None)
}

/// Its reader would only say that it cannot.
fn known(encoding: &[u8]) -> io::Result<()> {
    let read = |known: &&[u8; 4]| known.eq_ignore_ascii_case(encoding);
    // Of a file that ends here, its reader says it.
    if encoding.len() < 4 || READ.iter().any(read) {
        return Ok(());
    }
    let what = format!("aiff with {} inside", encoding.escape_ascii());
    Err(io::Error::new(ErrorKind::Unsupported, what))
}

/// A header of AIFF-C for `length` bytes of samples of one byte each; `bits` are those of a decoded
/// sample.
pub(super) fn header(
    encoding: &[u8; 4],
    channels: u16,
    bits: u16,
    sample_rate: u32,
    length: u64,
) -> Vec<u8> {
    /// Bytes behind the length of the whole, and of the sound's chunk, that are no sound.
    const FORM: u32 = 4 + 8 + 24 + 16;
    const SOUND: u32 = 8;
    let length = length.min(u64::from(u32::MAX - FORM)) as u32;
    // A float of 80 bits: an exponent and 64 bits of mantissa, the first of them 1.
    let zeros = u64::from(sample_rate.max(1)).leading_zeros();
    let exponent = (16_383 + 63 - zeros) as u16;
    let mantissa = u64::from(sample_rate) << zeros;
    let mut header = b"FORM".to_vec();
    header.extend((length + FORM).to_be_bytes());
    header.extend(b"AIFCCOMM\0\0\0\x18");
    header.extend(channels.to_be_bytes());
    header.extend((length / u32::from(channels.max(1))).to_be_bytes());
    header.extend(bits.to_be_bytes());
    header.extend(exponent.to_be_bytes());
    header.extend(mantissa.to_be_bytes());
    header.extend(encoding);
    // An empty name.
    header.extend([0; 2]);
    header.extend(b"SSND");
    header.extend((length + SOUND).to_be_bytes());
    header.extend([0; 8]);
    header
}
