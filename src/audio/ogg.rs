//! Ogg that was cut off, as a message that did not arrive whole is.
//!
//! A page holds up to a second of sound and a checksum, so that a reader throws the whole of a cut
//! page away. Here the packets of it that did arrive become a page of their own.

use std::io;

use super::Second;
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

/// How an ogg ends.
#[derive(Debug, PartialEq)]
pub(super) enum End {
    /// With its last page.
    Whole,
    /// Inside the page that begins at `at`; `page` is what is left of it.
    Cut { at: u64, page: Vec<u8> },
    /// Behind more sound than is wanted.
    Later,
}

/// How the ogg ends, looked for no further than behind `most` seconds of sound.
pub(super) fn end(input: &mut Input, start: u64, most: Second) -> io::Result<End> {
    let (mut at, mut clock) = (start, Clock::default());
    for _ in 0..MOST_PAGES {
        let head = input.piece(at, HEADER + MOST_SEGMENTS)?;
        let Some(segments) = segments(&head) else {
            return Ok(End::Whole);
        };
        let body = at + (HEADER + segments.len()) as u64;
        let length: u64 = segments.iter().copied().map(u64::from).sum();
        let arrived = input.piece(body, length as usize)?;
        if (arrived.len() as u64) < length {
            let page = page_of(&head[..HEADER], segments, &arrived);
            return Ok(page.map_or(End::Whole, |page| End::Cut { at, page }));
        }
        if clock.after(&head, &arrived) > most {
            return Ok(End::Later);
        }
        at = body + length;
    }
    Ok(End::Later)
}

/// How much sound the pages hold, of all the recordings that follow each other.
#[derive(Default)]
struct Clock {
    /// Of the recordings that have ended.
    before: Second,
    /// Of this one.
    here: Second,
    /// Hz; 0 where nobody says it.
    rate: u32,
}

impl Clock {
    /// Seconds after a page. Its header counts the samples of its recording so far.
    fn after(&mut self, head: &[u8], body: &[u8]) -> Second {
        const BEGINS: u8 = 2;
        if head[5] & BEGINS != 0 {
            self.before += self.here;
            (self.here, self.rate) = (0.0, rate(body));
        }
        let samples = head[6..14].iter().rev();
        let samples = samples.fold(0, |sum: u64, &byte| sum << 8 | u64::from(byte));
        // All ones: no packet ends on this page.
        if self.rate > 0 && samples < u64::MAX {
            self.here = samples as Second / Second::from(self.rate);
        }
        self.before + self.here
    }
}

/// The sample rate that a recording's first packet tells, Hz; 0 where it is of no known kind.
fn rate(packet: &[u8]) -> u32 {
    /// Opus counts at this rate, whatever was recorded.
    const OPUS: u32 = 48_000;
    /// Where the FLAC mapping has its stream's rate, 20 bits.
    const FLAC: usize = 27;
    let at = |place: usize| packet.get(place).map_or(0, |&byte| u32::from(byte));
    match packet {
        [b'O', b'p', b'u', b's', ..] => OPUS,
        [1, b'v', b'o', b'r', b'b', b'i', b's', ..] => {
            (12..16).rev().fold(0, |sum, place| sum << 8 | at(place))
        }
        [0x7F, b'F', b'L', b'A', b'C', ..] => {
            at(FLAC) << 12 | at(FLAC + 1) << 4 | at(FLAC + 2) >> 4
        }
        _ => 0,
    }
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

    /// The same bytes for ever.
    struct Again(Vec<u8>, usize);

    impl io::Read for Again {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            for byte in buffer.iter_mut() {
                *byte = self.0[self.1];
                self.1 = (self.1 + 1) % self.0.len();
            }
            Ok(buffer.len())
        }
    }

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
            let End::Cut { at, page: kept } = end(&mut input, 0, 9.0).unwrap() else {
                panic!("cut by {cut}")
            };
            assert_eq!(at, page.len() as u64);
            assert_eq!(usize::from(kept[26]), segments);
            assert_eq!(kept.len(), HEADER + segments + bytes);
        }
        for cut in [305, 320, 334] {
            let mut input = Input::memory(page[..page.len() - cut].to_vec());
            assert_eq!(end(&mut input, 0, 9.0).unwrap(), End::Whole);
        }
        assert_eq!(end(&mut Input::memory(page), 0, 9.0).unwrap(), End::Whole);
    }

    #[test]
    fn what_lies_behind_the_wanted_sound_is_not_looked_for() {
        for (name, seconds) in [("opus.ogg", 0.5), ("sine.ogg", 0.5), ("flac.ogg", 0.5)] {
            let file = super::super::tests::fixture(name);
            // The same again and again, as a stream of several recordings is.
            let mut endless = Input::pipe(Again(file.clone(), 0));
            assert_eq!(
                end(&mut endless, 0, 4.0 * seconds).unwrap(),
                End::Later,
                "{name}"
            );
            let mut once = Input::memory(file.clone());
            assert_eq!(
                end(&mut once, 0, 4.0 * seconds).unwrap(),
                End::Whole,
                "{name}"
            );
        }
    }

    #[test]
    fn checksums_are_those_of_ogg() {
        let file = super::super::tests::fixture("opus.ogg");
        let mut first = file[..HEADER + 1 + 19].to_vec();
        first[CHECKSUM].fill(0);
        assert_eq!(checksum(&first).to_le_bytes(), file[CHECKSUM]);
    }
}
