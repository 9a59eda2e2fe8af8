//! A recording, whatever it is, as one channel of samples.
//!
//! What a file is, its bytes say; its name is only for messages. Wav goes to hound
//! ([`read_wav`]), all else to symphonia. Damage costs the damaged part, not the recording: what can
//! be decoded before and after it is heard.

use std::fs;
use std::io::Cursor;
use std::ops::ControlFlow;
use std::path::Path;

use symphonia::core::audio::GenericAudioBufferRef;
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::AudioDecoder;
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::{FormatReader, TrackType};
use symphonia::core::io::MediaSourceStream;

use super::read_wav::{is_wav, read_wav};
use super::{AudioError, HIGHEST_RATE, LOWEST_RATE, Pcm};

/// Reads a wav, flac, mp3 or ogg vorbis file.
pub fn read(path: &Path) -> Result<Pcm, AudioError> {
    let unreadable = |source| AudioError::Unreadable {
        path: path.to_path_buf(),
        source,
    };
    read_bytes(
        fs::read(path).map_err(unreadable)?,
        &path.display().to_string(),
    )
}

/// Reads a wav, flac, mp3 or ogg vorbis file from memory; `name` is for messages.
pub fn read_bytes(bytes: Vec<u8>, name: &str) -> Result<Pcm, AudioError> {
    if bytes.is_empty() {
        return Err(AudioError::EmptyFile { name: name.into() });
    }
    let pcm = if is_wav(&bytes) {
        read_wav(&bytes, name)?
    } else {
        read_other(bytes, name)?
    };
    if pcm.samples.is_empty() {
        return Err(AudioError::NoSamples { name: name.into() });
    }
    match pcm.samples.iter().position(|x| !x.is_finite()) {
        Some(sample) => {
            let value = pcm.samples[sample];
            Err(AudioError::NotFinite {
                name: name.into(),
                sample,
                value,
            })
        }
        None => Ok(pcm),
    }
}

fn read_other(bytes: Vec<u8>, name: &str) -> Result<Pcm, AudioError> {
    // An ogg may hold what symphonia cannot name; voice notes from phones do.
    if bytes.windows(8).take(64).any(|head| head == b"OpusHead") {
        return Err(not_audio(name, "it is ogg opus"));
    }
    let unknown = |e: SymphoniaError| not_audio(name, &e.to_string());
    let stream = MediaSourceStream::new(Box::new(Cursor::new(bytes)), Default::default());
    let probe = symphonia::default::get_probe();
    let mut format = probe
        .probe(
            &Default::default(),
            stream,
            Default::default(),
            Default::default(),
        )
        .map_err(unknown)?;
    let mut decoder = decoder(&*format).map_err(unknown)?;
    let mut pcm = Pcm {
        samples: Vec::new(),
        sample_rate: 0,
    };
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
        .ok_or(SymphoniaError::Unsupported(
            "no audio track of a known encoding",
        ))?;
    let Some(CodecParameters::Audio(params)) = &track.codec_params else {
        return Err(SymphoniaError::Unsupported(
            "an audio track that does not say its encoding",
        ));
    };
    let codecs = symphonia::default::get_codecs();
    Ok((
        track.id,
        codecs.make_audio_decoder(params, &Default::default())?,
    ))
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
pub(super) fn mono(interleaved: &[f32], channels: usize) -> Vec<f32> {
    let mean =
        |frame: &[f32]| frame.iter().map(|&x| f64::from(x)).sum::<f64>() / frame.len() as f64;
    interleaved
        .chunks_exact(channels.max(1))
        .map(|frame| mean(frame) as f32)
        .collect()
}

pub(super) fn check_rate(name: &str, rate: u32) -> Result<(), AudioError> {
    if (LOWEST_RATE..=HIGHEST_RATE).contains(&rate) {
        return Ok(());
    }
    Err(AudioError::SampleRate {
        name: name.into(),
        rate,
    })
}

pub(super) fn not_audio(name: &str, why: &str) -> AudioError {
    AudioError::NotAudio {
        name: name.into(),
        why: why.into(),
    }
}

#[cfg(test)]
mod tests {
    use hound::SampleFormat;

    use super::super::read_wav::tests::{plain, refusal, wav};
    use super::*;

    const SINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/audio/sine");

    #[test]
    fn refusals_say_what_was_found() {
        assert!(refusal(b"").starts_with("a.wav is an empty file"));
        assert!(refusal(b"What is your name?").contains("wav (PCM or 32-bit float), flac, mp3"));
        assert!(refusal(b"OggS________________________OpusHead").contains("(it is ogg opus)"));
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
        let missing = read(Path::new("no/such.wav")).unwrap_err().to_string();
        assert!(missing.starts_with("cannot read no/such.wav: "));
        assert!(
            read(Path::new("."))
                .unwrap_err()
                .to_string()
                .starts_with("cannot read .: ")
        );
    }

    #[test]
    fn flac_mp3_and_ogg_sound_like_the_sine_they_are() {
        for (format, within) in [("flac", 1e-4), ("mp3", 0.02), ("ogg", 0.02)] {
            let pcm = read(Path::new(&format!("{SINE}.{format}"))).unwrap();
            assert_eq!(
                (pcm.sample_rate, pcm.samples.len()),
                (22_050, 11_025),
                "{format}"
            );
            let sine =
                |i: usize| 0.25 * (std::f32::consts::TAU * 440.0 * i as f32 / 22_050.0).sin();
            let off = (2_000..9_000)
                .map(|i| (pcm.samples[i] - sine(i)).abs())
                .fold(0.0, f32::max);
            assert!(off < within, "{format}: off by {off}");
        }
    }

    #[test]
    fn a_cut_off_flac_or_mp3_gives_what_is_there() {
        // The ogg is a single page of sound, and pages are whole or lost.
        for format in ["flac", "mp3"] {
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
        for head in [
            &b"RIFF\0\0\0\0WAVE"[..],
            b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0",
            b"OggS",
            b"fLaC",
            b"ID3",
            b"",
        ] {
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
