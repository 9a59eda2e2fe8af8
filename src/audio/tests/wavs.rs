//! Wav as it is found in the wild.

use hound::{SampleFormat, WavSpec, WavWriter};

use std::io::Cursor;

use super::super::read_bytes;
use super::refusal;

pub fn wav<S: hound::Sample>(
    channels: u16,
    bits: u16,
    format: SampleFormat,
    samples: Vec<S>,
) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let spec = WavSpec {
        channels,
        sample_rate: 16_000,
        bits_per_sample: bits,
        sample_format: format,
    };
    let mut writer = WavWriter::new(&mut bytes, spec).unwrap();
    samples
        .into_iter()
        .for_each(|x| writer.write_sample(x).unwrap());
    writer.finalize().unwrap();
    bytes.into_inner()
}

/// Plain 16-bit wav, one channel: 44 bytes of header.
pub fn plain(samples: Vec<i16>) -> Vec<u8> {
    let bytes = wav(1, 16, SampleFormat::Int, samples);
    assert_eq!(&bytes[36..40], b"data");
    bytes
}

fn samples(bytes: &[u8]) -> Vec<f32> {
    let pcm = read_bytes(bytes.to_vec(), "a.wav").unwrap();
    assert_eq!(pcm.sample_rate(), 16_000);
    pcm.samples().to_vec()
}

#[test]
fn every_width_of_wav_has_the_same_values() {
    for bits in [8, 16, 24, 32] {
        let one = 1i32 << (bits - 2);
        let bytes = wav(1, bits, SampleFormat::Int, vec![0, one, -one, one / 2]);
        assert_eq!(samples(&bytes), [0.0, 0.5, -0.5, 0.25], "{bits} bits");
    }
    let bytes = wav(1, 32, SampleFormat::Float, vec![0.0f32, 0.5, -0.5, 1.5]);
    assert_eq!(samples(&bytes), [0.0, 0.5, -0.5, 1.5]);
    // hound writes the long header for more than two channels.
    let bytes = wav(4, 24, SampleFormat::Int, vec![1 << 22; 8]);
    assert_eq!(bytes[20..22], [0xFE, 0xFF]);
    assert_eq!(samples(&bytes), [0.5, 0.5]);
}

#[test]
fn channels_are_averaged() {
    let bytes = wav(
        2,
        16,
        SampleFormat::Int,
        vec![16_384i16, 0, -16_384, -16_384],
    );
    assert_eq!(samples(&bytes), [0.25, -0.5]);
}

#[test]
fn a_streamed_wav_is_read_to_its_end() {
    let bytes = plain(vec![16_384; 3]);
    for claimed in [0, u32::MAX, u32::MAX - 36, 0x7FFF_F000, 8] {
        let mut streamed = bytes.clone();
        streamed[4..8].copy_from_slice(&claimed.to_le_bytes());
        streamed[40..44].copy_from_slice(&claimed.to_le_bytes());
        assert_eq!(samples(&streamed), [0.5; 3], "{claimed}");
    }
}

#[test]
fn a_cut_off_wav_gives_what_is_there() {
    let bytes = wav(2, 16, SampleFormat::Int, vec![16_384i16; 8]);
    assert_eq!(samples(&bytes[..bytes.len() - 5]), [0.5; 2]);
    for length in 1..44 {
        assert!(
            refusal(&bytes[..length]).contains("not audio"),
            "{length} bytes"
        );
    }
    assert!(refusal(&bytes[..45]).contains("holds no samples"));
}

#[test]
fn other_chunks_are_not_heard() {
    let (header, data) = (&plain(vec![16_384; 2])[..36], &plain(vec![16_384; 2])[36..]);
    let odd = b"LIST\x03\0\0\0abc\0";
    assert_eq!(samples(&[header, odd, data].concat()), [0.5; 2]);
    assert_eq!(samples(&[header, data, odd].concat()), [0.5; 2]);
    let mut empty = [&plain(vec![])[..], odd].concat();
    let length = empty.len() as u32 - 8;
    empty[4..8].copy_from_slice(&length.to_le_bytes());
    assert!(refusal(&empty).contains("holds no samples"));
}

#[test]
fn a_pad_byte_that_is_missing_or_odd_is_seen() {
    let (header, data) = (&plain(vec![16_384; 2])[..36], &plain(vec![16_384; 2])[36..]);
    for odd in [
        &b"LIST\x03\0\0\0abc"[..],
        b"LIST\x03\0\0\0abcZ",
        b"note\x01\0\0\0xLIST\x03\0\0\0abc",
        b"note\x01\0\0\0xcue \x03\0\0\0abc\0",
    ] {
        assert_eq!(samples(&[header, odd, data].concat()), [0.5; 2], "{odd:?}");
    }
}

#[test]
fn a_sample_that_is_no_number_is_named() {
    let nan = wav(
        2,
        32,
        SampleFormat::Float,
        vec![0.0, 0.0, f32::INFINITY, 0.0],
    );
    assert!(refusal(&nan).starts_with("sample 1 of a.wav is inf"));
    for rate in [0, 1, 500_000, u32::MAX] {
        let mut bytes = plain(vec![1; 8]);
        bytes[24..28].copy_from_slice(&u32::to_le_bytes(rate));
        assert!(refusal(&bytes).contains(&format!("a sample rate of {rate} Hz")));
    }
}

#[test]
fn a_codec_that_is_not_read_is_named() {
    let with_tag = |tag: u16| {
        let mut bytes = plain(vec![1; 8]);
        bytes[20..22].copy_from_slice(&tag.to_le_bytes());
        refusal(&bytes)
    };
    assert!(with_tag(0x31).contains("(wav with GSM 6.10 inside)"));
    assert!(with_tag(0x777).contains("(wav with codec 0x0777 inside)"));
    let mut odd = plain(vec![1; 8]);
    odd[34] = 12;
    assert!(refusal(&odd).contains("(wav with 12-bit PCM in blocks of 2 bytes)"));
}

#[test]
fn stereo_in_antiphase_is_heard() {
    let wave = |i: i32| (8000.0 * f64::from(i).sin()) as i16;
    let frames = (0..1000).flat_map(|i| [wave(i), -wave(i)]).collect();
    let heard = samples(&wav(2, 16, SampleFormat::Int, frames));
    let left: Vec<f32> = (0..1000).map(|i| f32::from(wave(i)) / 32_768.0).collect();
    assert_eq!(heard, left);
}
