//! Ogg that was cut off, as a message that did not arrive whole is.
//!
//! A page holds up to a second of sound and a checksum, so that a reader throws the whole of a cut
//! page away. Here the packets of it that did arrive become a page of their own.

use std::io;

use super::input::Input;

/// Bytes of a page before the table of its segments, and the longest table.
const HEADER: usize = 27;
const MOST_SEGMENTS: usize = 255;
/// Pages that are looked through: an hour, where every packet of 20 ms has its own.
const MOST_PAGES: usize = 200_000;
/// Where a header keeps its checksum.
const CHECKSUM: std::ops::Range<usize> = 22..26;

/// Whether the bytes begin like an ogg.
pub(super) fn is_ogg(head: &[u8]) -> bool {
    head.starts_with(b"OggS")
}

/// Where the last page begins that the file ends in, and what is left of it as a page.
pub(super) fn cut_page(input: &mut Input, start: u64) -> io::Result<Option<(u64, Vec<u8>)>> {
    let end = input.length()?;
    let mut at = start;
    for _ in 0..MOST_PAGES {
        let head = input.piece(at, HEADER + MOST_SEGMENTS)?;
        let Some(segments) = segments(&head) else {
            return Ok(None);
        };
        let body = at + (HEADER + segments.len()) as u64;
        let length: u64 = segments.iter().copied().map(u64::from).sum();
        if body + length > end {
            let arrived = input.piece(body, (end.saturating_sub(body)) as usize)?;
            return Ok(page_of(&head[..HEADER], segments, &arrived).map(|page| (at, page)));
        }
        at = body + length;
    }
    Ok(None)
}

/// Lengths of a page's segments.
fn segments(head: &[u8]) -> Option<&[u8]> {
    let count = usize::from(*head.get(HEADER - 1)?);
    let table = head.get(HEADER..HEADER + count)?;
    is_ogg(head).then_some(table)
}

/// The whole packets among the bytes that arrived; `None` where there are none.
fn page_of(header: &[u8], segments: &[u8], arrived: &[u8]) -> Option<Vec<u8>> {
    let (mut count, mut length, mut sum) = (0, 0, 0);
    for (i, &segment) in segments.iter().enumerate() {
        sum += usize::from(segment);
        // A segment of 255 bytes goes on in the next.
        if sum <= arrived.len() && segment < 255 {
            (count, length) = (i + 1, sum);
        }
    }
    let mut page = [header, &segments[..count], &arrived[..length]].concat();
    page[HEADER - 1] = u8::try_from(count).ok().filter(|&count| count > 0)?;
    page[CHECKSUM].fill(0);
    let checksum = checksum(&page);
    page[CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
    Some(page)
}

/// Ogg's CRC (RFC 3533): polynomial 0x04C11DB7, highest bit first, nothing inverted.
fn checksum(page: &[u8]) -> u32 {
    page.iter().fold(0, |sum, &byte| {
        let sum = sum ^ u32::from(byte) << 24;
        (0..8).fold(sum, |sum, _| {
            let carry = if sum >> 31 == 1 { 0x04C1_1DB7 } else { 0 };
            sum << 1 ^ carry
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page of packets of 3, 300 and 4 bytes.
    fn page() -> Vec<u8> {
        let mut page = [
            &b"OggS\0\0"[..],
            &[7; 8],
            &[1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 4],
        ]
        .concat();
        page.extend([3, 255, 45, 4]);
        page.extend((0..307).map(|i| i as u8));
        page
    }

    #[test]
    fn whole_packets_of_a_cut_page_are_kept() {
        let page = page();
        for (cut, segments, bytes) in [(1, 3, 303), (4, 3, 303), (5, 1, 3), (304, 1, 3)] {
            let mut input = Input::memory([&page, &page[..page.len() - cut]].concat());
            let (at, kept) = cut_page(&mut input, 0).unwrap().unwrap();
            assert_eq!(at, page.len() as u64);
            assert_eq!(usize::from(kept[26]), segments);
            assert_eq!(kept.len(), HEADER + segments + bytes);
        }
        for cut in [305, 320, 334] {
            let mut input = Input::memory(page[..page.len() - cut].to_vec());
            assert_eq!(cut_page(&mut input, 0).unwrap(), None);
        }
        assert_eq!(cut_page(&mut Input::memory(page), 0).unwrap(), None);
    }

    #[test]
    fn checksums_are_those_of_ogg() {
        let file = super::super::tests::fixture("opus.ogg");
        let mut first = file[..HEADER + 1 + 19].to_vec();
        first[CHECKSUM].fill(0);
        assert_eq!(checksum(&first).to_le_bytes(), file[CHECKSUM]);
    }
}
