//! Sound as protocols carry it: base64, 16-bit samples, wav.

use std::io::Cursor;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mini_omni::Pcm;
use mini_omni::audio::Limit;

use super::refusal::{Reason, Refusal};
use crate::cli::output::wav::to_i16;

/// 16-bit little-endian samples.
pub fn pcm16(samples: &[f32]) -> Vec<u8> {
    samples
        .iter()
        .flat_map(|&x| to_i16(x).to_le_bytes())
        .collect()
}

/// A wav file of 16-bit mono samples.
pub fn wav(pcm: &[u8], sample_rate: u32) -> Result<Vec<u8>, Refusal> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let write = || {
        let mut file = Cursor::new(Vec::with_capacity(pcm.len() + 44));
        let mut writer = hound::WavWriter::new(&mut file, spec)?;
        for pair in pcm.chunks_exact(2) {
            writer.write_sample(i16::from_le_bytes([pair[0], pair[1]]))?;
        }
        writer.finalize()?;
        Ok(file.into_inner())
    };
    write().map_err(|error: hound::Error| Refusal::new(Reason::Failed, error.to_string()))
}

/// Text that JSON carries sound in.
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The bytes of such text. A `data:` address, as browsers make, is taken, too.
pub fn from_base64(text: &str, param: &'static str) -> Result<Vec<u8>, Refusal> {
    let data = text
        .strip_prefix("data:")
        .and_then(|rest| rest.split_once(','));
    let data = data.map_or(text, |(_, data)| data);
    STANDARD
        .decode(data.trim())
        .map_err(|error| Refusal::bad(param, format!("{param} is not base64: {error}")))
}

/// Reads a recording of any format, on a thread that may be busy.
pub async fn read(bytes: Vec<u8>, limit: Limit, param: &'static str) -> Result<Pcm, Refusal> {
    let read = move || limit.read_bytes(bytes, "the recording");
    let failed = |_| Refusal::new(Reason::Failed, "reading the recording failed");
    let recording = tokio::task::spawn_blocking(read).await.map_err(failed)?;
    match recording {
        Ok(recording) => Ok(recording.pcm),
        Err(error) => Err(Refusal::from(mini_omni::Error::from(error)).of(param)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_become_bytes_and_a_file() {
        let pcm = pcm16(&[0.0, 1.0, -2.0]);
        assert_eq!(pcm, [0, 0, 0xff, 0x7f, 0x01, 0x80]);
        let wav = wav(&pcm, 24_000).expect("a wav");
        assert_eq!(wav.len(), 44 + 6);
        assert_eq!(&wav[..4], b"RIFF");
        assert_eq!(&wav[44..], pcm);
    }

    #[test]
    fn base64_comes_bare_or_as_a_data_address() {
        assert_eq!(from_base64("AQI=", "x").expect("bytes"), [1, 2]);
        assert_eq!(
            from_base64("data:audio/wav;base64,AQI=\n", "x").expect("bytes"),
            [1, 2]
        );
        let refusal = from_base64("A!", "audio").expect_err("no base64");
        assert!(
            refusal.sentence.starts_with("audio is not base64"),
            "{}",
            refusal.sentence
        );
    }
}
