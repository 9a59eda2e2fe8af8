//! AIFF that was cut off.
//!
//! Its reader gives up where the sound's chunk ends behind the file, so it gets a header that claims
//! what is there.

use std::io;

use super::input::Input;

/// More chunks than any recorder writes, and more bytes before the sound.
const MOST_CHUNKS: usize = 100;
const LONGEST_HEADER: u64 = 1 << 20;

/// Whether the bytes begin like AIFF.
pub(super) fn is_aiff(head: &[u8]) -> bool {
    head.starts_with(b"FORM")
}

/// Where the bytes of the sound's chunk begin, and a header to stand before them; `None` where the
/// file's own header is right.
pub(super) fn header_of_cut(input: &mut Input, start: u64) -> io::Result<Option<(u64, Vec<u8>)>> {
    let end = input.length()?;
    let mut at = start + 12;
    for _ in 0..MOST_CHUNKS {
        let head = input.piece(at, 8)?;
        let Some((name, length)) = head.split_last_chunk::<4>() else {
            return Ok(None);
        };
        let body = at + 8;
        let behind = body + u64::from(u32::from_be_bytes(*length));
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
