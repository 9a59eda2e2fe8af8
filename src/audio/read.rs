//! Audio files to mono samples.
//!
//! The format is found from the content, never from the name. Wav goes to `hound`, after its header
//! was made truthful: tools that pipe wav leave its lengths open, and cut files promise more than
//! they hold. Everything else goes to `symphonia`.

use std::io::Cursor;
use std::path::Path;

use hound::{SampleFormat, WavReader};
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::probe::Hint;
use symphonia::core::formats::{FormatOptions, TrackType};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;

use super::{AudioError, Pcm};

/// Sample rates a file may have, Hz.
const RATES: std::ops::RangeInclusive<u32> = 1_000..=768_000;

/// The sound of a file, channels averaged to one.
pub fn read(path: &Path) -> Result<Pcm, AudioError> {
    let bytes = std::fs::read(path)
        .map_err(|source| AudioError::Unreadable { path: path.to_path_buf(), source })?;
    read_bytes(bytes, &path.display().to_string())
}

/// The sound in `bytes`; `name` is what error sentences call it.
pub fn read_bytes(bytes: Vec<u8>, name: &str) -> Result<Pcm, AudioError> {
    if bytes.is_empty() {
        return Err(AudioError::EmptyFile { name: name.into() });
    }
    let not_audio = |why: String| AudioError::NotAudio { name: name.into(), why };
    let decoded = if bytes.starts_with(b"RIFF") { wav(bytes) } else { other(bytes) };
    let (pcm, channels) = decoded.map_err(not_audio)?;
    if !RATES.contains(&pcm.sample_rate) {
        return Err(not_audio(format!("its sample rate is {} Hz", pcm.sample_rate)));
    }
    checked(mono(pcm, channels), name)
}

fn mono(pcm: Pcm, channels: usize) -> Pcm {
    if channels <= 1 {
        return pcm;
    }
    let mean = |frame: &[f32]| frame.iter().sum::<f32>() / channels as f32;
    Pcm { samples: pcm.samples.chunks_exact(channels).map(mean).collect(), ..pcm }
}

fn checked(pcm: Pcm, name: &str) -> Result<Pcm, AudioError> {
    if pcm.samples.is_empty() {
        return Err(AudioError::NoSamples { name: name.into() });
    }
    match pcm.samples.iter().position(|sample| !sample.is_finite()) {
        Some(index) => Err(AudioError::BadSample { name: name.into(), index, value: pcm.samples[index] }),
        None => Ok(pcm),
    }
}

/// Interleaved samples and the number of channels.
fn wav(mut bytes: Vec<u8>) -> Result<(Pcm, usize), String> {
    make_truthful(&mut bytes)?;
    let mut reader = WavReader::new(Cursor::new(bytes)).map_err(|e| e.to_string())?;
    let spec = reader.spec();
    let samples = match spec.sample_format {
        SampleFormat::Float => kept(reader.samples::<f32>()),
        SampleFormat::Int => {
            let scale = 1.0 / (1i64 << (spec.bits_per_sample - 1)) as f32;
            kept(reader.samples::<i32>()).into_iter().map(|sample| sample as f32 * scale).collect()
        }
    };
    Ok((Pcm { samples, sample_rate: spec.sample_rate }, spec.channels as usize))
}

/// Samples up to the first that cannot be read: a cut file gives what is there.
fn kept<S>(samples: impl Iterator<Item = hound::Result<S>>) -> Vec<S> {
    samples.map_while(Result::ok).collect()
}

/// Checks the header's sizes and sets the data chunk's length to what the file holds.
fn make_truthful(bytes: &mut Vec<u8>) -> Result<(), String> {
    const CHUNK_HEADER: usize = 8;
    let u16_at = |b: &[u8], at: usize| usize::from(u16::from_le_bytes([b[at], b[at + 1]]));
    let (mut at, mut block_align) = (12, 0);
    while at + CHUNK_HEADER <= bytes.len() {
        let body = at + CHUNK_HEADER;
        let promised = u32::from_le_bytes([bytes[at + 4], bytes[at + 5], bytes[at + 6], bytes[at + 7]]) as usize;
        let there = bytes.len() - body;
        match &bytes[at..at + 4] {
            b"fmt " if there >= 16 && promised >= 16 => {
                let (channels, bits) = (u16_at(bytes, body + 2), u16_at(bytes, body + 14));
                block_align = u16_at(bytes, body + 12);
                if channels == 0 || block_align != channels * bits.div_ceil(8) || !(8..=32).contains(&bits) {
                    return Err(format!("a wav of {channels} channels and {bits} bits"));
                }
            }
            b"data" if block_align > 0 => {
                let length = if promised == 0 { there } else { promised.min(there) };
                let length = (length - length % block_align).min(u32::MAX as usize / 2);
                bytes[at + 4..body].copy_from_slice(&(length as u32).to_le_bytes());
                bytes.truncate(body + length);
                return Ok(());
            }
            b"data" => return Err("a wav whose format comes after its data".into()),
            _ => {}
        }
        at = body.saturating_add(promised).saturating_add(promised % 2);
    }
    Err("a wav without data".into())
}

/// flac, mp3, ogg: interleaved samples and the number of channels.
fn other(bytes: Vec<u8>) -> Result<(Pcm, usize), String> {
    let unknown = |e: SymphoniaError| e.to_string();
    let stream = MediaSourceStream::new(Box::new(Cursor::new(bytes)), MediaSourceStreamOptions::default());
    let mut format = symphonia::default::get_probe()
        .probe(&Hint::new(), stream, FormatOptions::default(), MetadataOptions::default())
        .map_err(unknown)?;
    let track = format.default_track(TrackType::Audio).ok_or("it has no audio track")?;
    let id = track.id;
    let Some(CodecParameters::Audio(params)) = &track.codec_params else {
        return Err("its audio track is of an unknown kind".into());
    };
    let mut decoder = symphonia::default::get_codecs()
        .make_audio_decoder(params, &AudioDecoderOptions::default())
        .map_err(unknown)?;
    let (mut samples, mut rate, mut channels) = (Vec::new(), params.sample_rate.unwrap_or(0), 1);
    let mut piece: Vec<f32> = Vec::new();
    // A file that breaks off gives what was decoded before.
    while let Ok(Some(packet)) = format.next_packet() {
        if packet.track_id != id {
            continue;
        }
        match decoder.decode(&packet) {
            Ok(decoded) => {
                (rate, channels) = (decoded.spec().rate(), decoded.spec().channels().count());
                decoded.copy_to_vec_interleaved(&mut piece);
                samples.extend_from_slice(&piece);
            }
            Err(SymphoniaError::DecodeError(_)) => {}
            Err(_) => break,
        }
    }
    Ok((Pcm { samples, sample_rate: rate }, channels))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A wav with this format, written by hound.
    fn wav_bytes(channels: u16, bits: u16, format: SampleFormat, samples: &[f32]) -> Vec<u8> {
        let spec =
            hound::WavSpec { channels, sample_rate: 16_000, bits_per_sample: bits, sample_format: format };
        let mut cursor = Cursor::new(Vec::new());
        let mut writer = hound::WavWriter::new(&mut cursor, spec).expect("a writer");
        for &sample in samples {
            match format {
                SampleFormat::Float => writer.write_sample(sample),
                SampleFormat::Int => {
                    writer.write_sample((sample * ((1i64 << (bits - 1)) - 1) as f32).round() as i32)
                }
            }
            .expect("a sample");
        }
        writer.finalize().expect("a file");
        cursor.into_inner()
    }

    #[test]
    fn every_wav_format_gives_the_same_samples() {
        let wave: Vec<f32> = (0..100).map(|i| (i as f32 * 0.1).sin() * 0.9).collect();
        for (bits, format) in [(8, SampleFormat::Int), (16, SampleFormat::Int), (24, SampleFormat::Int)]
            .into_iter()
            .chain([(32, SampleFormat::Int), (32, SampleFormat::Float)])
        {
            let pcm = read_bytes(wav_bytes(1, bits, format, &wave), "x").expect("samples");
            assert_eq!(pcm.sample_rate, 16_000);
            assert_eq!(pcm.samples.len(), 100);
            let error = pcm.samples.iter().zip(&wave).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(error < 2.5 / (1u64 << (bits - 1)) as f32 + 1e-6, "{bits} bits: {error}");
        }
    }

    #[test]
    fn channels_are_averaged() {
        let bytes = wav_bytes(2, 32, SampleFormat::Float, &[0.5, -0.5, 1.0, 0.0]);
        assert_eq!(read_bytes(bytes, "x").expect("samples").samples, [0.0, 0.5]);
    }

    #[test]
    fn open_and_overlong_lengths_give_what_is_there() {
        let whole = wav_bytes(1, 16, SampleFormat::Int, &[0.1; 50]);
        for length in [0u32, u32::MAX, 1_000_000] {
            let mut bytes = whole.clone();
            bytes[40..44].copy_from_slice(&length.to_le_bytes());
            assert_eq!(read_bytes(bytes, "x").expect("samples").samples.len(), 50, "{length}");
        }
        let cut = whole[..whole.len() - 11].to_vec();
        assert_eq!(read_bytes(cut, "x").expect("samples").samples.len(), 44);
    }

    #[test]
    fn what_is_no_sound_is_refused_with_its_reason() {
        let sentence = |bytes: Vec<u8>| read_bytes(bytes, "x.wav").expect_err("refused").to_string();
        assert!(sentence(vec![]).contains("is empty"));
        assert!(sentence(b"hello, this is a letter".to_vec()).contains("not audio"));
        assert!(sentence(wav_bytes(1, 16, SampleFormat::Int, &[])).contains("0 samples"));
        assert!(sentence(wav_bytes(1, 32, SampleFormat::Float, &[0.0, f32::NAN])).contains("sample 1 is NaN"));
    }

    #[test]
    fn hostile_bytes_never_panic() {
        let whole = wav_bytes(2, 16, SampleFormat::Int, &[0.1; 20]);
        for at in 0..44 {
            for value in [0u8, 1, 3, 127, 128, 254, 255] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                let _ = read_bytes(bytes, "x");
            }
            let _ = read_bytes(whole[..at].to_vec(), "x");
        }
        let mut state = 1u32;
        for magic in [&b"OggS"[..], b"fLaC", b"\xff\xfb\x90", b"RIFF", b"ID3"] {
            let mut bytes = magic.to_vec();
            bytes.extend((0..4000).map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            }));
            let _ = read_bytes(bytes, "x");
        }
    }
}
