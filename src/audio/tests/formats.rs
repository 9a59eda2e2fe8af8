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
        "alaw.wav" | "mulaw.wav" | "u8.wav" => (0.006, 0),
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
