//! Samples out of containers: hound for plain wav, symphonia for all else, with ropus for Opus.
//!
//! Damage costs the damaged part, not the recording: what can be decoded before and after it is
//! heard.

use std::iter::repeat_n;
use std::ops::ControlFlow::{self, Break, Continue};

use hound::SampleFormat;
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder};
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::{FormatReader, Track, TrackType};
use symphonia::core::io::MediaSourceStream;
use symphonia::core::packet::Packet;

use super::input::Part;
use super::opus::{self, Opus};
use super::{Limit, Second};
use crate::fence::caught;

/// Samples as they come, up to one frame more than is wanted.
pub(super) struct Sound {
    limit: Limit,
    /// Interleaved.
    pub samples: Vec<f32>,
    pub channels: usize,
    /// Hz.
    pub sample_rate: u32,
    /// How long it is, by the file's own word.
    pub claimed: Option<Second>,
}

impl Sound {
    pub fn new(limit: Limit) -> Sound {
        Sound {
            limit,
            samples: Vec::new(),
            channels: 0,
            sample_rate: 0,
            claimed: None,
        }
    }

    /// How much of the recording is wanted.
    pub fn limit(&self) -> Limit {
        self.limit
    }

    /// Frames that are wanted.
    pub fn wanted(&self) -> usize {
        self.limit.frames(self.sample_rate, self.channels)
    }

    pub fn frames(&self) -> usize {
        self.samples.len() / self.channels.max(1)
    }

    /// Appends whole frames. Breaks where no more are wanted, or sound of another rate begins.
    fn push(&mut self, sample_rate: u32, channels: usize, frames: &[f32]) -> ControlFlow<()> {
        if frames.is_empty() || channels == 0 {
            return Continue(());
        }
        if self.samples.is_empty() {
            (self.sample_rate, self.channels) = (sample_rate, channels);
        }
        if self.sample_rate != sample_rate {
            return Break(());
        }
        if self.channels != channels {
            return self.push(
                sample_rate,
                self.channels,
                &spread(frames, channels, self.channels),
            );
        }
        let room = (self.wanted() + 1 - self.frames()) * channels;
        self.samples.extend(&frames[..room.min(frames.len())]);
        if self.frames() > self.wanted() {
            return Break(());
        }
        Continue(())
    }
}

/// The mean of `from` channels on each of `to`: an mp3 may go from stereo to mono as it likes.
fn spread(frames: &[f32], from: usize, to: usize) -> Vec<f32> {
    let mean = |frame: &[f32]| frame.iter().sum::<f32>() / from as f32;
    let frames = frames.chunks_exact(from);
    frames.flat_map(|frame| repeat_n(mean(frame), to)).collect()
}

/// Reads a wav of PCM or 32-bit floats, with a header of ours.
pub(super) fn plain(wav: Part, sound: &mut Sound) -> Result<(), String> {
    let reader = hound::WavReader::new(wav).map_err(|e| e.to_string())?;
    let spec = reader.spec();
    // The end of a cut file is an error to hound.
    if spec.sample_format == SampleFormat::Float {
        take(
            reader.into_samples::<f32>().map_while(Result::ok),
            spec,
            sound,
        );
        return Ok(());
    }
    let full_scale = 2f32.powi(i32::from(spec.bits_per_sample) - 1);
    let samples = reader.into_samples::<i32>().map_while(Result::ok);
    take(samples.map(|x| x as f32 / full_scale), spec, sound);
    Ok(())
}

fn take(mut samples: impl Iterator<Item = f32>, spec: hound::WavSpec, sound: &mut Sound) {
    const FRAMES: usize = 4096;
    let channels = usize::from(spec.channels);
    loop {
        let mut piece: Vec<f32> = samples.by_ref().take(FRAMES * channels).collect();
        piece.truncate(piece.len() / channels * channels);
        let full = piece.len() == FRAMES * channels;
        let more = sound.push(spec.sample_rate, channels, &piece);
        if more.is_break() || !full {
            return;
        }
    }
}

/// Why symphonia gave up.
pub(super) enum Unread {
    /// It is nothing known, or damaged.
    Container,
    /// It has pictures, and no sound.
    Silent,
    /// What is inside is not decoded; why.
    Codec(String),
}

/// Reads whatever symphonia knows.
pub(super) fn any(file: Part, sound: &mut Sound) -> Result<(), Unread> {
    // A stranger's file must not end a process that answers others: an assertion of symphonia's that
    // a hostile file breaks is damage like any other. Known are a division by zero in Vorbis floors
    // with two equal places, and those that `mpeg4` looks out for.
    let read = caught(|| unguarded(file, sound));
    read.unwrap_or_else(|_| match sound.frames() {
        0 => Err(Unread::Container),
        _ => Ok(()),
    })
}

fn unguarded(file: Part, sound: &mut Sound) -> Result<(), Unread> {
    let stream = MediaSourceStream::new(Box::new(file), Default::default());
    let mut format = symphonia::default::get_probe()
        .probe(
            &Default::default(),
            stream,
            Default::default(),
            Default::default(),
        )
        .map_err(|_| Unread::Container)?;
    let silent = |track: &Track| {
        use CodecParameters::{Subtitle, Video};
        matches!(track.codec_params, Some(Video(_) | Subtitle(_)))
    };
    if !format.tracks().is_empty() && format.tracks().iter().all(silent) {
        return Err(Unread::Silent);
    }
    let mut track = Decoded::new(&*format).map_err(Unread::Codec)?;
    sound.claimed = track.claimed;
    let mut damage = Damage::default();
    while track
        .next_packet(&mut *format, sound, &mut damage)
        .is_continue()
    {}
    // Noise that looks like a packet now and then.
    if damage.packets > damage.sound {
        sound.samples.clear();
    }
    Ok(())
}

/// How much of a file could not be decoded.
#[derive(Default)]
struct Damage {
    /// Packets with sound.
    sound: usize,
    /// Packets without.
    packets: usize,
    /// Packets since the last that had sound or was for another track.
    row: usize,
}

/// Packets in a row without sound before the rest is given up.
const MOST_IN_A_ROW: usize = 20_000;

/// The track that is heard.
struct Decoded {
    id: u32,
    decoder: Decoder,
    claimed: Option<Second>,
    /// Of one packet, interleaved.
    samples: Vec<f32>,
}

enum Decoder {
    Symphonia(Box<dyn AudioDecoder>),
    Opus(Box<Opus>),
}

impl Decoded {
    fn new(format: &dyn FormatReader) -> Result<Decoded, String> {
        let track = format
            .default_track(TrackType::Audio)
            .ok_or("without an audio track of a known encoding")?;
        let Some(CodecParameters::Audio(params)) = &track.codec_params else {
            return Err("with an audio track that does not say its encoding".into());
        };
        Ok(Decoded {
            id: track.id,
            decoder: Decoder::new(params)?,
            claimed: claimed(track),
            samples: Vec::new(),
        })
    }

    /// Takes one packet's samples. Breaks at the end, where enough was heard, and where the file is
    /// damaged beyond reading.
    fn next_packet(
        &mut self,
        format: &mut dyn FormatReader,
        sound: &mut Sound,
        damage: &mut Damage,
    ) -> ControlFlow<()> {
        damage.row += 1;
        if damage.row > MOST_IN_A_ROW {
            return Break(());
        }
        let packet = match format.next_packet() {
            Ok(Some(packet)) if packet.track_id == self.id => packet,
            Ok(Some(_)) => return Continue(()),
            // Another recording follows in the same ogg file.
            Err(SymphoniaError::ResetRequired) => {
                let Ok(next) = Decoded::new(format) else {
                    return Break(());
                };
                *self = next;
                return Continue(());
            }
            Ok(None) | Err(_) => return Break(()),
        };
        let Some((rate, channels)) = self.decoder.decode(&packet, &mut self.samples) else {
            damage.packets += 1;
            return Continue(());
        };
        if !self.samples.is_empty() {
            damage.sound += 1;
            damage.row = 0;
        }
        sound.push(rate, channels, &self.samples)
    }
}

impl Decoder {
    fn new(params: &AudioCodecParameters) -> Result<Decoder, String> {
        if params.codec == CODEC_ID_OPUS {
            let opus = Opus::new(params).ok_or("with a damaged Opus header")?;
            return Ok(Decoder::Opus(Box::new(opus)));
        }
        symphonia::default::get_codecs()
            .make_audio_decoder(params, &Default::default())
            .map(Decoder::Symphonia)
            .map_err(|e| format!("with sound inside that cannot be decoded ({e})"))
    }

    /// The packet's samples, interleaved; their rate in Hz and their channels. `None` where it is
    /// damaged.
    fn decode(&mut self, packet: &Packet, samples: &mut Vec<f32>) -> Option<(u32, usize)> {
        samples.clear();
        match self {
            Decoder::Opus(opus) => {
                let intact = opus.decode(packet, samples);
                intact.then_some((opus::SAMPLE_RATE, opus.channels))
            }
            Decoder::Symphonia(decoder) => {
                let buffer = decoder.decode(packet).ok()?;
                buffer.copy_to_vec_interleaved(samples);
                Some((buffer.spec().rate(), buffer.num_planes()))
            }
        }
    }
}

fn claimed(track: &Track) -> Option<Second> {
    let time = track.time_base?.calc_duration(track.duration?)?;
    Some(time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_channels_go_on_and_another_rate_ends_it() {
        let mut sound = Sound::new(Limit::First(0.01));
        assert!(sound.push(1000, 2, &[1.0, 0.5, 1.0, 0.5]).is_continue());
        assert!(sound.push(1000, 1, &[0.25]).is_continue());
        assert!(sound.push(1000, 3, &[0.0, 0.3, 0.6]).is_continue());
        assert_eq!(sound.samples, [1.0, 0.5, 1.0, 0.5, 0.25, 0.25, 0.3, 0.3]);
        assert!(sound.push(2000, 2, &[0.0, 0.0]).is_break());
        // Ten frames are wanted; one more tells that there are more.
        assert!(sound.push(1000, 2, &[0.0; 40]).is_break());
        assert_eq!(sound.frames(), 11);
    }
}
