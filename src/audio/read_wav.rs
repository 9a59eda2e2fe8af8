//! Wav as it is found in the wild.
//!
//! Recordings are cut off, streamed with a made-up length, or carry odd chunks and long headers; so
//! hound, which decodes the samples, never sees a file's own header. It gets a plain one written
//! here, that claims exactly the whole samples that are there.

use std::io::{Cursor, Read};

use super::read::{check_rate, mono, not_audio};
use super::{AudioError, Pcm};

/// Whether the bytes begin like a wav file.
pub(super) fn is_wav(bytes: &[u8]) -> bool {
    bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WAVE")
}

/// Reads bytes that [`is_wav`] took for a wav file.
pub(super) fn read_wav(bytes: &[u8], name: &str) -> Result<Pcm, AudioError> {
    let unknown = |why: String| not_audio(name, &why);
    let (fmt, data) =
        wav_chunks(bytes).ok_or_else(|| unknown("its wav header is cut off".into()))?;
    let sample_rate = fmt.sample_rate;
    check_rate(name, sample_rate)?;
    // hound wants whole frames, and lengths of 32 bits.
    let length = data.len().min(u32::MAX as usize) / fmt.frame() * fmt.frame();
    let header = fmt.plain_header(length as u32);
    let reader =
        hound::WavReader::new(header.chain(&data[..length])).map_err(|e| unknown(e.to_string()))?;
    let channels = usize::from(reader.spec().channels);
    let interleaved = hound_samples(reader).map_err(|e| unknown(e.to_string()))?;
    Ok(Pcm {
        samples: mono(&interleaved, channels),
        sample_rate,
    })
}

fn hound_samples<R: Read>(reader: hound::WavReader<R>) -> hound::Result<Vec<f32>> {
    let spec = reader.spec();
    if spec.sample_format == hound::SampleFormat::Float {
        return reader.into_samples::<f32>().collect();
    }
    let full_scale = 2f32.powi(i32::from(spec.bits_per_sample) - 1);
    reader
        .into_samples::<i32>()
        .map(|x| x.map(|x| x as f32 / full_scale))
        .collect()
}

/// What a wav's fmt chunk says.
struct WavFormat {
    /// 1 is PCM, 3 is float.
    tag: u16,
    channels: u16,
    /// Hz.
    sample_rate: u32,
    /// Bytes of one sample of every channel.
    block_align: u16,
    /// Of one sample.
    bits: u16,
}

impl WavFormat {
    /// Tag of the long form, which has the real tag at the head of its subformat GUID.
    const EXTENSIBLE: u16 = 0xFFFE;

    fn parse(fmt: &[u8]) -> Option<WavFormat> {
        let u16_at = |at: usize| {
            fmt.get(at..at + 2)
                .map(|b| u16::from_le_bytes([b[0], b[1]]))
        };
        let tag = match u16_at(0)? {
            WavFormat::EXTENSIBLE => u16_at(24)?,
            tag => tag,
        };
        Some(WavFormat {
            tag,
            channels: u16_at(2)?,
            sample_rate: u32_at(fmt, 4)?,
            block_align: u16_at(12)?,
            bits: u16_at(14)?,
        })
    }

    fn frame(&self) -> usize {
        usize::from(self.block_align.max(1))
    }

    /// The 44 bytes before `data_length` bytes of samples.
    fn plain_header(&self, data_length: u32) -> Cursor<Vec<u8>> {
        let byte_rate = u32::from(self.block_align).saturating_mul(self.sample_rate);
        let mut header = Vec::with_capacity(44);
        header.extend(b"RIFF");
        header.extend(data_length.saturating_add(36).to_le_bytes());
        header.extend(b"WAVEfmt ");
        header.extend(16u32.to_le_bytes());
        header.extend(self.tag.to_le_bytes());
        header.extend(self.channels.to_le_bytes());
        header.extend(self.sample_rate.to_le_bytes());
        header.extend(byte_rate.to_le_bytes());
        header.extend(self.block_align.to_le_bytes());
        header.extend(self.bits.to_le_bytes());
        header.extend(b"data");
        header.extend(data_length.to_le_bytes());
        Cursor::new(header)
    }
}

/// The format and the samples' bytes: as long as the data chunk says, or as long as the file is.
fn wav_chunks(bytes: &[u8]) -> Option<(WavFormat, &[u8])> {
    let complete = u32_at(bytes, 4)? as usize == bytes.len() - 8;
    let mut fmt = None;
    let mut rest = bytes.get(12..)?;
    while let Some((head, body)) = rest.split_at_checked(8) {
        let claimed = u32_at(head, 4)? as usize;
        let length = claimed.min(body.len());
        match &head[..4] {
            b"fmt " => fmt = WavFormat::parse(&body[..length]),
            // A writer that cannot rewind leaves 0 or 0xFFFFFFFF.
            b"data" if claimed == 0 && !complete => return Some((fmt?, body)),
            b"data" => return Some((fmt?, &body[..length])),
            _ => {}
        }
        // Chunks begin at even bytes.
        rest = body.get(length + length % 2..).unwrap_or_default();
    }
    None
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..at + 4)
        .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

#[cfg(test)]
pub(super) mod tests {
    use hound::{SampleFormat, WavSpec, WavWriter};

    use super::super::read_bytes;
    use super::*;

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
        assert_eq!(pcm.sample_rate, 16_000);
        pcm.samples
    }

    pub fn refusal(bytes: &[u8]) -> String {
        read_bytes(bytes.to_vec(), "a.wav").unwrap_err().to_string()
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
}
