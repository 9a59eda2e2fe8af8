use std::fs;
use std::time::{Duration, Instant};

use hound::SampleFormat;

use super::super::{Limit, read_bytes};
use super::wavs::{plain, wav};
use super::{Random, fixture, fixtures};

/// No input may take longer.
const LONGEST: Duration = Duration::from_secs(5);

fn survives(bytes: Vec<u8>) {
    let start = Instant::now();
    let _ = Limit::AtMost(30.0).read_bytes(bytes, "damaged");
    assert!(start.elapsed() < LONGEST);
}

#[test]
fn a_cut_recording_gives_what_is_there() {
    // What cannot be read without its end: a table of places, or the only block; and what is nearly
    // all header.
    let needs_its_end = [
        "adpcm_ima.wav",
        "adpcm_ms.wav",
        "aac.m4a",
        "aac_in_pieces.mp4",
        "alac.m4a",
        "opus.mp4",
        "alac.caf",
        "opus.caf",
        "vorbis.webm",
    ];
    for path in fixtures() {
        let name = path.file_name().unwrap().to_str().unwrap();
        let bytes = fs::read(&path).unwrap();
        let whole = read_bytes(bytes.clone(), name).unwrap().samples().len();
        for tenths in 1..10 {
            let cut = bytes[..bytes.len() * tenths / 10].to_vec();
            let heard = read_bytes(cut, name).map_or(0, |pcm| pcm.samples().len());
            assert!(heard <= whole + 2500, "{name} at {tenths}/10");
            if tenths == 9 && !needs_its_end.contains(&name) {
                assert!(heard > whole / 4, "{name}: {heard} of {whole}");
            }
        }
    }
}

#[test]
fn every_value_of_every_byte_of_a_header_is_survived() {
    let long_header = wav(4, 24, SampleFormat::Int, vec![1; 8]);
    for file in [plain(vec![1; 8]), long_header] {
        for at in 0..file.len() {
            for value in 0..=255 {
                let mut bytes = file.clone();
                bytes[at] = value;
                survives(bytes);
            }
        }
    }
}

/// `MUTATIONS=30000 cargo test --release --lib damage_anywhere` makes a million, in minutes.
#[test]
fn damage_anywhere_is_survived() {
    let set = std::env::var("MUTATIONS").ok();
    let mutations = set.map_or(100, |n| n.parse().expect("a number"));
    let mut random = Random(1);
    for path in fixtures() {
        let file = fs::read(path).unwrap();
        for _ in 0..mutations {
            let mut bytes = file.clone();
            // Headers and tables are where the danger is.
            let span = [64, 512, bytes.len()][random.next() % 3].min(bytes.len());
            for _ in 0..1 + random.next() % 4 {
                let at = random.next() % span;
                bytes[at] = [0, 0xFF, 0x7F, random.next() as u8][random.next() % 4];
            }
            if random.next().is_multiple_of(4) {
                bytes.truncate(random.next() % bytes.len());
            }
            survives(bytes);
        }
    }
}

#[test]
fn garbage_behind_a_true_beginning_is_survived() {
    let mut random = Random(2);
    for head in [
        &b"RIFF\0\0\0\0WAVE"[..],
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0",
        b"RF64\xFF\xFF\xFF\xFFWAVEds64",
        b"OggS",
        b"fLaC",
        b"ID3",
        b"FORM\0\0\0\0AIFF",
        b"caff",
        b"\0\0\0\x20ftypM4A ",
        b"\x1A\x45\xDF\xA3",
        b"\xFF\xFB\x90",
        b"\xFF\xF1\x50",
        b"",
    ] {
        for length in 0..50 {
            let garbage: Vec<u8> = (0..length * 16).map(|_| random.next() as u8).collect();
            survives([head, &garbage].concat());
        }
    }
}

#[test]
fn of_a_cut_ogg_every_packet_that_arrived_is_heard() {
    let bytes = fixture("opus_celt.ogg");
    // A quarter of a second in packets of 2.5 ms, on a single page.
    let heard = |part: usize| {
        let cut = bytes[..bytes.len() * part / 100].to_vec();
        read_bytes(cut, "cut.ogg").unwrap().seconds()
    };
    for part in [40, 60, 80, 95] {
        let share = 0.25 * part as f64 / 100.0;
        assert!(
            (heard(part) - share).abs() < 0.04,
            "{part} %: {} s",
            heard(part)
        );
    }
}
