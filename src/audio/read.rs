//! A recording, whatever it is, as one channel of samples.
//!
//! What a file is, its bytes say; its name is only for messages. Wav goes to hound, all else to
//! symphonia. Wavs in the wild are cut off, streamed with a made-up length, or carry odd chunks, so
//! hound never sees a file's own header: it gets a plain one written here, with the length of what
//! is there. Damage costs the damaged part, not the recording.

use std::fs;
use std::io::{Cursor, Read};
use std::ops::ControlFlow;
use std::path::Path;

use symphonia::core::audio::GenericAudioBufferRef;
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::AudioDecoder;
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::{FormatReader, TrackType};
use symphonia::core::io::MediaSourceStream;

use super::{AudioError, HIGHEST_RATE, LOWEST_RATE, Pcm};

/// Reads a wav, flac, mp3 or ogg vorbis file.
pub fn read(path: &Path) -> Result<Pcm, AudioError> {
    let unreadable = |source| AudioError::Unreadable { path: path.to_path_buf(), source };
    read_bytes(fs::read(path).map_err(unreadable)?, &path.display().to_string())
}

/// Reads a wav, flac, mp3 or ogg vorbis file from memory; `name` is for messages.
pub fn read_bytes(bytes: Vec<u8>, name: &str) -> Result<Pcm, AudioError> {
    if bytes.is_empty() {
        return Err(AudioError::EmptyFile { name: name.into() });
    }
    let is_wav = bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WAVE");
    let pcm = if is_wav { read_wav(&bytes, name)? } else { read_other(bytes, name)? };
    if pcm.samples.is_empty() {
        return Err(AudioError::NoSamples { name: name.into() });
    }
    match pcm.samples.iter().position(|x| !x.is_finite()) {
        Some(sample) => {
            let value = pcm.samples[sample];
            Err(AudioError::NotFinite { name: name.into(), sample, value })
        }
        None => Ok(pcm),
    }
}

fn read_wav(bytes: &[u8], name: &str) -> Result<Pcm, AudioError> {
    let unknown = |why: String| not_audio(name, &why);
    let (fmt, data) = wav_chunks(bytes).ok_or_else(|| unknown("its wav header is cut off".into()))?;
    let sample_rate = fmt.sample_rate;
    check_rate(name, sample_rate)?;
    // hound wants whole frames, and lengths of 32 bits.
    let length = data.len().min(u32::MAX as usize) / fmt.frame() * fmt.frame();
    let header = fmt.plain_header(length as u32);
    let reader = hound::WavReader::new(header.chain(&data[..length]))
        .map_err(|e| unknown(e.to_string()))?;
    let channels = usize::from(reader.spec().channels);
    let interleaved = hound_samples(reader).map_err(|e| unknown(e.to_string()))?;
    Ok(Pcm { samples: mono(&interleaved, channels), sample_rate })
}

fn hound_samples<R: Read>(reader: hound::WavReader<R>) -> hound::Result<Vec<f32>> {
    let spec = reader.spec();
    if spec.sample_format == hound::SampleFormat::Float {
        return reader.into_samples::<f32>().collect();
    }
    let full_scale = 2f32.powi(i32::from(spec.bits_per_sample) - 1);
    reader.into_samples::<i32>().map(|x| x.map(|x| x as f32 / full_scale)).collect()
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
        let u16_at = |at: usize| fmt.get(at..at + 2).map(|b| u16::from_le_bytes([b[0], b[1]]));
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
        match (&head[..4], fmt.take()) {
            // A writer that cannot rewind leaves 0 or 0xFFFFFFFF.
            (b"data", Some(fmt)) if claimed == 0 && !complete => return Some((fmt, body)),
            (b"data", Some(fmt)) => return Some((fmt, &body[..length])),
            (b"fmt ", _) => fmt = WavFormat::parse(&body[..length]),
            (_, seen) => fmt = seen,
        }
        // Chunks begin at even bytes.
        rest = body.get(length + length % 2..).unwrap_or_default();
    }
    None
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

fn read_other(bytes: Vec<u8>, name: &str) -> Result<Pcm, AudioError> {
    let unknown = |e: SymphoniaError| not_audio(name, &e.to_string());
    let stream = MediaSourceStream::new(Box::new(Cursor::new(bytes)), Default::default());
    let probe = symphonia::default::get_probe();
    let mut format = probe
        .probe(&Default::default(), stream, Default::default(), Default::default())
        .map_err(unknown)?;
    let mut decoder = decoder(&*format).map_err(unknown)?;
    let mut pcm = Pcm { samples: Vec::new(), sample_rate: 0 };
    while let ControlFlow::Continue(()) = next_packet(&mut *format, &mut decoder, &mut pcm) {}
    if pcm.samples.is_empty() {
        return Ok(pcm);
    }
    check_rate(name, pcm.sample_rate)?;
    Ok(pcm)
}

/// A decoder and the track it is for.
type Decoder = (u32, Box<dyn AudioDecoder>);

fn decoder(format: &dyn FormatReader) -> Result<Decoder, SymphoniaError> {
    let track = format
        .default_track(TrackType::Audio)
        .ok_or(SymphoniaError::Unsupported("no audio track of a known encoding"))?;
    let Some(CodecParameters::Audio(params)) = &track.codec_params else {
        return Err(SymphoniaError::Unsupported("an audio track that does not say its encoding"));
    };
    let codecs = symphonia::default::get_codecs();
    Ok((track.id, codecs.make_audio_decoder(params, &Default::default())?))
}

/// Appends one packet's samples. Breaks at the end, and where the file is damaged beyond reading.
fn next_packet(
    format: &mut dyn FormatReader,
    decoder: &mut Decoder,
    pcm: &mut Pcm,
) -> ControlFlow<()> {
    let packet = match format.next_packet() {
        Ok(Some(packet)) if packet.track_id == decoder.0 => packet,
        Ok(Some(_)) => return ControlFlow::Continue(()),
        // Another recording follows in the same ogg file.
        Err(SymphoniaError::ResetRequired) => match self::decoder(format) {
            Ok(next) => {
                *decoder = next;
                return ControlFlow::Continue(());
            }
            Err(_) => return ControlFlow::Break(()),
        },
        Ok(None) | Err(_) => return ControlFlow::Break(()),
    };
    match decoder.1.decode(&packet) {
        Ok(buffer) => append(&buffer, pcm),
        Err(SymphoniaError::DecodeError(_) | SymphoniaError::IoError(_)) => {
            ControlFlow::Continue(())
        }
        Err(_) => ControlFlow::Break(()),
    }
}

fn append(buffer: &GenericAudioBufferRef<'_>, pcm: &mut Pcm) -> ControlFlow<()> {
    if buffer.is_empty() {
        return ControlFlow::Continue(());
    }
    if pcm.samples.is_empty() {
        pcm.sample_rate = buffer.spec().rate();
    }
    if pcm.sample_rate != buffer.spec().rate() {
        return ControlFlow::Break(());
    }
    let mut interleaved = Vec::<f32>::new();
    buffer.copy_to_vec_interleaved(&mut interleaved);
    pcm.samples.extend(mono(&interleaved, buffer.num_planes()));
    ControlFlow::Continue(())
}

/// The mean of the channels.
fn mono(interleaved: &[f32], channels: usize) -> Vec<f32> {
    let mean = |frame: &[f32]| frame.iter().map(|&x| f64::from(x)).sum::<f64>() / frame.len() as f64;
    interleaved.chunks_exact(channels.max(1)).map(|frame| mean(frame) as f32).collect()
}

fn check_rate(name: &str, rate: u32) -> Result<(), AudioError> {
    if (LOWEST_RATE..=HIGHEST_RATE).contains(&rate) {
        return Ok(());
    }
    Err(AudioError::SampleRate { name: name.into(), rate })
}

fn not_audio(name: &str, why: &str) -> AudioError {
    AudioError::NotAudio { name: name.into(), why: why.into() }
}

#[cfg(test)]
mod tests {
    use hound::{SampleFormat, WavSpec, WavWriter};

    use super::*;

    const SINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/audio/sine");

    fn wav<S: hound::Sample>(channels: u16, bits: u16, format: SampleFormat, samples: Vec<S>) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let spec =
            WavSpec { channels, sample_rate: 16_000, bits_per_sample: bits, sample_format: format };
        let mut writer = WavWriter::new(&mut bytes, spec).unwrap();
        samples.into_iter().for_each(|x| writer.write_sample(x).unwrap());
        writer.finalize().unwrap();
        bytes.into_inner()
    }

    /// Plain 16-bit wav, one channel: 44 bytes of header.
    fn plain(samples: Vec<i16>) -> Vec<u8> {
        let bytes = wav(1, 16, SampleFormat::Int, samples);
        assert_eq!(&bytes[36..40], b"data");
        bytes
    }

    fn samples(bytes: &[u8]) -> Vec<f32> {
        let pcm = read_bytes(bytes.to_vec(), "a.wav").unwrap();
        assert_eq!(pcm.sample_rate, 16_000);
        pcm.samples
    }

    fn refusal(bytes: &[u8]) -> String {
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
        let bytes = wav(2, 16, SampleFormat::Int, vec![16_384i16, 0, -16_384, -16_384]);
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
            assert!(refusal(&bytes[..length]).contains("not audio"), "{length} bytes");
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
    fn refusals_say_what_was_found() {
        assert!(refusal(b"").starts_with("a.wav is an empty file"));
        assert!(refusal(b"What is your name?").contains("wav (PCM or 32-bit float), flac, mp3"));
        let nan = wav(2, 32, SampleFormat::Float, vec![0.0, 0.0, f32::INFINITY, 0.0]);
        assert!(refusal(&nan).starts_with("sample 1 of a.wav is inf"));
        for rate in [0, 1, 500_000, u32::MAX] {
            let mut bytes = plain(vec![1; 8]);
            bytes[24..28].copy_from_slice(&u32::to_le_bytes(rate));
            assert!(refusal(&bytes).contains(&format!("a sample rate of {rate} Hz")));
        }
        let missing = read(Path::new("no/such.wav")).unwrap_err().to_string();
        assert!(missing.starts_with("cannot read no/such.wav: "));
        assert!(read(Path::new(".")).unwrap_err().to_string().starts_with("cannot read .: "));
    }

    #[test]
    fn flac_mp3_and_ogg_sound_like_the_sine_they_are() {
        for (format, within) in [("flac", 1e-4), ("mp3", 0.02), ("ogg", 0.02)] {
            let pcm = read(Path::new(&format!("{SINE}.{format}"))).unwrap();
            assert_eq!((pcm.sample_rate, pcm.samples.len()), (22_050, 11_025), "{format}");
            let sine = |i: usize| 0.25 * (std::f32::consts::TAU * 440.0 * i as f32 / 22_050.0).sin();
            let off = (2_000..9_000).map(|i| (pcm.samples[i] - sine(i)).abs()).fold(0.0, f32::max);
            assert!(off < within, "{format}: off by {off}");
        }
    }

    #[test]
    fn a_cut_off_flac_mp3_or_ogg_gives_what_is_there() {
        for format in ["flac", "mp3", "ogg"] {
            let bytes = fs::read(format!("{SINE}.{format}")).unwrap();
            let pcm = read_bytes(bytes[..bytes.len() * 9 / 10].to_vec(), format);
            assert!(!pcm.unwrap().samples.is_empty(), "{format}");
        }
    }

    #[test]
    fn hostile_bytes_never_panic() {
        let long_header = wav(4, 24, SampleFormat::Int, vec![1; 8]);
        for file in [plain(vec![1; 8]), long_header] {
            for at in 0..file.len() {
                for value in 0..=255 {
                    let mut bytes = file.clone();
                    bytes[at] = value;
                    let _ = read_bytes(bytes, "a.wav");
                }
            }
        }
        let mut random = Random(1);
        for format in ["flac", "mp3", "ogg"] {
            let file = fs::read(format!("{SINE}.{format}")).unwrap();
            for _ in 0..100 {
                let mut bytes = file.clone();
                for _ in 0..4 {
                    let at = random.next() as usize % bytes.len().min(512);
                    bytes[at] = random.next() as u8;
                }
                let _ = read_bytes(bytes, format);
            }
        }
        for head in [&b"RIFF\0\0\0\0WAVE"[..], b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0", b"OggS", b"fLaC", b"ID3", b""] {
            for length in 0..50 {
                let garbage: Vec<u8> = (0..length * 16).map(|_| random.next() as u8).collect();
                let _ = read_bytes([head, &garbage].concat(), "garbage");
            }
        }
    }

    /// xorshift; the same bytes every time.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 >> 8
        }
    }
}
