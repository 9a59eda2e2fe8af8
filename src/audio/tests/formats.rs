use std::f64::consts::TAU;
use std::path::Path;

use super::super::{Limit, Pcm, read, read_bytes};
use super::{fixture, fixtures, refusal};

/// How much of a sound is a 440 Hz sine, whatever its phase.
struct Sine {
    amplitude: f64,
    /// Root mean square of all else.
    rest: f64,
}

impl Sine {
    /// Without its first half and its end: codecs need a moment, mp3 of 8 kHz a tenth of a second.
    fn within(pcm: &Pcm) -> Sine {
        let (n, rate) = (pcm.samples().len(), f64::from(pcm.sample_rate()));
        let middle = &pcm.samples()[n / 2..n * 5 / 6];
        // The nearest a sin + b cos, by the normal equations.
        let (mut ss, mut sc, mut cc, mut sx, mut cx) = (0.0, 0.0, 0.0, 0.0, 0.0);
        let wave = |i: usize| (TAU * 440.0 * i as f64 / rate).sin_cos();
        for (i, &x) in middle.iter().enumerate() {
            let ((s, c), x) = (wave(i), f64::from(x));
            (ss, sc, cc) = (ss + s * s, sc + s * c, cc + c * c);
            (sx, cx) = (sx + s * x, cx + c * x);
        }
        let determinant = ss * cc - sc * sc;
        let a = (sx * cc - cx * sc) / determinant;
        let b = (cx * ss - sx * sc) / determinant;
        let rest: f64 = middle
            .iter()
            .enumerate()
            .map(|(i, &x)| {
                let (s, c) = wave(i);
                (f64::from(x) - a * s - b * c).powi(2)
            })
            .sum();
        Sine {
            amplitude: a.hypot(b),
            rest: (rest / middle.len() as f64).sqrt(),
        }
    }
}

/// Off by how much, and how many samples too many there may be: encoders begin with silence.
fn tolerance(name: &str) -> (f64, usize) {
    match name {
        name if name.contains("opus") => (0.015, 500),
        name if name.contains("aac") => (0.01, 2048),
        "mp3_inside.wav" => (0.015, 1500),
        name if name.contains("mp3") || name.ends_with(".mp2") => (0.01, 2500),
        name if name.contains("vorbis") || name == "sine.ogg" => (0.01, 500),
        name if name.contains("adpcm") => (0.01, 1100),
        "alaw.wav" | "mulaw.wav" | "u8.wav" | "alaw.caf" | "mulaw.caf" | "s8.caf" => (0.006, 0),
        _ => (1e-4, 0),
    }
}

#[test]
fn every_format_sounds_like_the_sine_it_is() {
    let mut wrong = Vec::new();
    for path in fixtures() {
        let name = path.file_name().unwrap().to_str().unwrap();
        // Half a second in one of two channels, or a quarter in all.
        let seconds = if name.starts_with("sine.") && name != "sine.mp2" {
            0.5
        } else {
            0.25
        };
        let (off, late) = tolerance(name);
        match read(&path) {
            Err(refusal) => wrong.push(refusal.to_string()),
            Ok(pcm) => {
                let sine = Sine::within(&pcm);
                let right = (seconds * f64::from(pcm.sample_rate())) as usize;
                let surplus = pcm.samples().len().checked_sub(right);
                let told = format!(
                    "{name}: {pcm:?}, {surplus:?} too many, {} and {}",
                    sine.amplitude, sine.rest
                );
                let level = (sine.amplitude - 0.25).abs() < off && sine.rest < off;
                if !level || surplus.is_none_or(|n| n > late) {
                    wrong.push(told);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn names_do_not_matter_and_pipes_are_as_good_as_files() {
    for path in fixtures() {
        let bytes = std::fs::read(&path).unwrap();
        let whole = read(&path).unwrap();
        assert_eq!(read_bytes(bytes.clone(), "a.jpg").unwrap(), whole);
        let pipe = std::io::Cursor::new(bytes);
        let piped = Limit::Whole
            .read_from(pipe, path.to_str().unwrap())
            .unwrap();
        // Without a known end nothing tells what of the last packet is padding.
        let padding = piped.pcm.samples().len() - whole.samples().len();
        assert!(padding < 2500, "{path:?}: {padding}");
    }
}

#[test]
fn opus_is_as_long_as_it_was() {
    for name in [
        "opus.ogg",
        "opus_stereo.ogg",
        "opus_celt.ogg",
        "opus_silk.ogg",
    ] {
        let pcm = read_bytes(fixture(name), name).unwrap();
        assert_eq!(pcm.samples().len(), 12_000, "{name}");
    }
}

#[test]
fn a_cover_picture_of_any_size_is_passed_over() {
    for (name, picture) in [
        ("sine.mp3", 3 << 20),
        ("sine.flac", 1000),
        ("aac.aac", 2 << 20),
    ] {
        let plain = fixture(name);
        let length = [21, 14, 7, 0].map(|shift| (picture >> shift & 0x7F) as u8);
        // The picture looks like an mp3 frame, all through.
        let picture = [0xFF, 0xFB, 0x90, 0x00].repeat(picture / 4);
        let tag = [&b"ID3\x04\0\0"[..], &length, &picture].concat();
        let tagged = [&tag[..], &tag, &plain].concat();
        let heard = read_bytes(tagged, name).unwrap();
        assert_eq!(heard, read_bytes(plain, name).unwrap(), "{name}");
    }
}

#[test]
fn two_recordings_in_one_ogg_are_both_heard() {
    let (one, two) = (fixture("opus.ogg"), fixture("opus_silk.ogg"));
    let both = read_bytes([&one[..], &two].concat(), "both.ogg").unwrap();
    assert_eq!(both.samples().len(), 24_000);
}

#[test]
fn refusals_say_what_was_found_what_is_read_and_what_helps() {
    assert!(refusal(b"").starts_with("a.wav is an empty file"));
    let letter = refusal(b"What is your name?");
    assert!(letter.starts_with("a.wav is not audio this program reads (its bytes are of no known"));
    assert!(letter.contains("wav, aiff, caf, flac, mp3, m4a, webm and ogg"));
    assert!(letter.contains("`ffmpeg -i a.wav -ar 16000 -ac 1 question.wav`"));
    assert!(!letter.contains("--"));
    assert!(refusal(b"#!AMR\n\x3C\x91\x17").contains("(it is AMR)"));
    let speex = b"OggS\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x50Speex   1.2";
    assert!(refusal(speex).contains("(it is ogg with Speex inside)"));
    let cut_off = refusal(&fixture("aac.m4a")[..900]);
    assert!(cut_off.contains("(it begins like m4a, but is damaged or cut off)"));
    assert!(refusal(&[0; 5000]).contains("no known format"));
    let missing = read(Path::new("no/such.wav")).unwrap_err().to_string();
    assert!(missing.starts_with("cannot read no/such.wav: "));
    let folder = read(Path::new(".")).unwrap_err().to_string();
    assert!(folder.starts_with("cannot read .: "), "{folder}");
}

#[test]
fn what_is_cut_off_before_its_sound_says_so() {
    for name in ["alac.caf", "opus.caf"] {
        let bytes = fixture(name);
        for percent in [50, 90, 99] {
            let told = refusal(&bytes[..bytes.len() * percent / 100]);
            let cut = "(it begins like caf, but is cut off before the end of its table of packets)";
            assert!(told.contains(cut), "{name} at {percent} %: {told}");
        }
    }
    let tag = b"ID3\x04\0\0\x01\x40\0\0APIC and then nothing";
    let told = refusal(tag);
    assert!(told.contains("(it begins like mp3, with a title or cover picture, but is cut off"));
}

#[test]
fn an_encoding_of_aiff_that_is_not_read_is_named() {
    let mut bytes = fixture("float32.aifc");
    let at = bytes
        .windows(4)
        .position(|name| name.eq_ignore_ascii_case(b"fl32"));
    bytes[at.unwrap()..][..4].copy_from_slice(b"ima4");
    let told = refusal(&bytes);
    assert!(told.contains("(aiff with ima4 inside)"), "{told}");
}

#[test]
fn of_a_film_without_sound_no_advice_to_convert_it_is_given() {
    // Matroska of one track that is VP8, and a cluster.
    let film =
        b"\x1AE\xDF\xA3\x9FB\x86\x81\x01B\xF7\x81\x01B\xF2\x81\x04B\xF3\x81\x08B\x82\x84webmB\
        \x87\x81\x02B\x85\x81\x02\x18S\x80g@Y\x15I\xA9f\xA0*\xD7\xB1\x83\x0FB@M\x80\x84LavfW\
        A\x84LavfD\x89\x88@D\x00\x00\x00\x00\x00\x00\x16T\xAEk\x9E\xAE\x9C\xD7\x81\x01s\xC5\
        \x81\x01\x83\x81\x01\x86\x85V_VP8\xE0\x89\xB0\x81\x10\xBA\x81\x10\x9A\x81\x02\x1FC\
        \xB6u\x8C\xE7\x81\x00\xA3\x87\x81\x00\x00\x80\xF0\x0C\x00";
    let told = refusal(film);
    let right = "a.wav holds pictures and no sound; record the question again";
    assert_eq!(told, right);
}

#[test]
fn a_caf_on_disk_may_leave_its_length_open() {
    // Of FLAC, the last block would be lost: the table behind it is taken for a part of it.
    for name in ["s16.caf", "alaw.caf", "s8.caf"] {
        let mut bytes = fixture(name);
        let whole = read_bytes(bytes.clone(), name).unwrap();
        let data = bytes.windows(4).position(|name| name == b"data").unwrap();
        bytes[data + 4..][..8].fill(0xFF);
        let file = format!("mini_omni_open_{}_{name}", std::process::id());
        let path = std::env::temp_dir().join(file);
        std::fs::write(&path, bytes).unwrap();
        let open = read(&path);
        std::fs::remove_file(&path).unwrap();
        // What stands behind the sound would be heard as some.
        let surplus = open.unwrap().samples().len() - whole.samples().len();
        assert!(surplus < 50, "{name}: {surplus}");
    }
}
