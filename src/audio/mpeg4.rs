//! MPEG-4 that its reader would stumble over: cut off, or with tables that point nowhere.
//!
//! A download that was interrupted ends within the box with the sound; its reader passes over such a
//! box. Read straight on, without a look at the end, it is heard as far as it goes: if the tables
//! came first. And symphonia 0.6 asserts what a hostile table can break, so places are checked before.

use std::io;

use super::input::Input;

/// More boxes than any file has at its top; one in pieces has two for each piece.
const MOST_BOXES: usize = 10_000;
/// Bytes of tables: those of a day of sound.
const MOST_TABLES: u64 = 16 << 20;
/// Samples (packets, to others) of one piece.
const MOST_SAMPLES: u32 = 1 << 20;

/// What the boxes at the top of a file tell.
#[derive(Debug, PartialEq)]
pub(super) enum Boxes {
    /// All is well, or beyond judging.
    Whole,
    /// The tables are there, and part of the sound they tell of.
    Cut,
    /// The tables cannot be true.
    Broken,
}

/// Whether the bytes begin like MPEG-4.
pub(super) fn is_mpeg4(head: &[u8]) -> bool {
    head.get(4..8) == Some(b"ftyp")
}

/// Looks through the boxes from `start` on.
pub(super) fn boxes(input: &mut Input, start: u64) -> io::Result<Boxes> {
    let end = input.length()?;
    let (mut at, mut tables, mut tracks) = (start, 0, Tracks::default());
    for _ in 0..MOST_BOXES {
        let head = input.piece(at, 16)?;
        let Some((length, rest)) = head.split_first_chunk::<4>() else {
            break;
        };
        let length = match (u32::from_be_bytes(*length), rest.last_chunk::<8>()) {
            // To the end of the file.
            (0, _) => end - at,
            (1, Some(long)) if rest.len() == 12 => u64::from_be_bytes(*long),
            (length, _) => length.into(),
        };
        if length < 8 {
            break;
        }
        let next = at.saturating_add(length);
        if !rest.starts_with(b"mdat") {
            let length = length.min(end - at);
            tables += length;
            if tables > MOST_TABLES || !tracks.agree(&input.piece(at, length as usize)?) {
                return Ok(Boxes::Broken);
            }
        } else if next > end && tracks.any() {
            return Ok(Boxes::Cut);
        }
        at = next;
    }
    Ok(Boxes::Whole)
}

/// How many tracks there are, and for how many there is a word on their pieces.
#[derive(Default)]
struct Tracks {
    told: usize,
    in_pieces: usize,
    pieces: bool,
}

impl Tracks {
    fn any(&self) -> bool {
        self.told > 0
    }

    /// Whether tables make sense. Names are looked for anywhere, as boxes lie within boxes.
    fn agree(&mut self, tables: &[u8]) -> bool {
        let names = tables.windows(4).enumerate();
        let sane = names.into_iter().all(|(at, name)| {
            let fields = &tables[at + 4..];
            match name {
                b"trak" => self.told += 1,
                b"trex" => self.in_pieces += 1,
                b"moof" => self.pieces = true,
                b"co64" => return chunk_places(fields),
                b"tfhd" => return flags(fields) & 1 == 0 || is_place(u64_at(fields, 8)),
                b"trun" => {
                    let backwards = flags(fields) & 1 != 0 && u32_at(fields, 8) > i32::MAX as u32;
                    return u32_at(fields, 4) <= MOST_SAMPLES && !backwards;
                }
                _ => {}
            }
            true
        });
        sane && (!self.pieces || self.in_pieces >= self.told)
    }
}

/// Whether every chunk begins at a place that a file can have.
fn chunk_places(fields: &[u8]) -> bool {
    let count = u32_at(fields, 4) as usize;
    let places = fields.get(8..).unwrap_or_default().chunks_exact(8);
    places.take(count).all(|place| is_place(u64_at(place, 0)))
}

/// An exabyte is more than any file has.
fn is_place(at: u64) -> bool {
    at < 1 << 60
}

fn flags(fields: &[u8]) -> u32 {
    u32_at(fields, 0) & 0xFF_FFFF
}

/// 0 where the bytes end before it: its reader then ends there, too.
fn u32_at(fields: &[u8], at: usize) -> u32 {
    let bytes = fields.get(at..).and_then(|rest| rest.first_chunk());
    bytes.map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

fn u64_at(fields: &[u8], at: usize) -> u64 {
    let bytes = fields.get(at..).and_then(|rest| rest.first_chunk());
    bytes.map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(bytes: &[u8]) -> Boxes {
        boxes(&mut Input::memory(bytes.to_vec()), 0).unwrap()
    }

    fn boxed(name: &[u8], body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u32 + 8).to_be_bytes();
        [&length, name, body].concat()
    }

    #[test]
    fn cut_files_and_wild_tables_are_seen() {
        let good = [boxed(b"moov", b"trak"), boxed(b"mdat", &[0; 9])].concat();
        assert_eq!(told(&good), Boxes::Whole);
        assert_eq!(told(&good[..good.len() - 1]), Boxes::Cut);
        assert_eq!(told(&boxed(b"mdat", &[0; 9])[..12]), Boxes::Whole);
        for wild in [
            &b"co64\0\0\0\0\0\0\0\x01\xFF\0\0\0\0\0\0\0"[..],
            b"tfhd\0\0\0\x01\0\0\0\x01\xFF\0\0\0\0\0\0\0",
            b"trun\0\0\0\x01\0\0\0\x01\xFF\0\0\0",
            b"trun\0\0\0\0\xFF\0\0\0",
            b"trakmoof",
        ] {
            assert_eq!(told(&boxed(b"moov", wild)), Boxes::Broken);
        }
        for name in [
            "aac.m4a",
            "aac_in_pieces.mp4",
            "aac_moov_first.m4a",
            "opus.mp4",
        ] {
            let file = super::super::tests::fixture(name);
            assert_eq!(told(&file), Boxes::Whole, "{name}");
        }
    }
}
