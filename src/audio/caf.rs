//! CAF that was cut off, within its sound, or that does not say where the sound ends.

use std::io;

use super::input::Input;

/// More chunks than any recorder writes, and more bytes before the sound.
const MOST_CHUNKS: usize = 100;
const LONGEST_HEADER: u64 = 1 << 20;

/// Whether the bytes begin like CAF.
pub(super) fn is_caf(head: &[u8]) -> bool {
    head.starts_with(b"caff")
}

/// Where the bytes of the sound's chunk begin, and a header to stand before them; `None` where the
/// file's own header is right.
pub(super) fn header_of_cut(input: &mut Input, start: u64) -> io::Result<Option<(u64, Vec<u8>)>> {
    let end = input.length()?;
    let mut at = start + 8;
    for _ in 0..MOST_CHUNKS {
        let head = input.piece(at, 12)?;
        let Some((name, length)) = head.split_last_chunk::<8>() else {
            return Ok(None);
        };
        let body = at + 12;
        // A length of -1, of a recorder that cannot rewind, is far behind any end.
        at = body.saturating_add(u64::from_be_bytes(*length));
        if name == b"data" {
            let size = body - start;
            if at <= end || size > LONGEST_HEADER {
                return Ok(None);
            }
            let mut header = input.piece(start, size as usize)?;
            let length = header.len() - 8..;
            header[length].copy_from_slice(&(end - body).to_be_bytes());
            return Ok(Some((body, header)));
        }
        if at > end {
            return Ok(None);
        }
    }
    Ok(None)
}
