//! A recording, whatever it is, as one channel of samples.
//!
//! What a file is, its bytes say; its name is only for messages. No more of it is read and decoded
//! than the [`Limit`] wants.

use std::io::{self, Read};
use std::path::Path;

use super::decode::{self, Sound, Unread};
use super::input::{Input, MOST_HELD, Part, Trouble};
use super::mpeg4::Boxes;
use super::ogg::End;
use super::pcm::check_rate;
use super::riff::{self, WavFormat};
use super::sniff::{Format, HEAD, Riff, id3_length, sniff};
use super::{
    AudioError, Lasts, Limit, MOST_SAMPLES, Pcm, Recording, Second, aiff, caf, mix, mpeg4, ogg,
};

/// What a file claims beyond a day is a length that was left open, as Wave64 does on a pipe.
const MOST_CLAIMED: Second = 24.0 * 3600.0;

/// Reads a recording of any format that is known.
pub fn read(path: &Path) -> Result<Pcm, AudioError> {
    Ok(Limit::Whole.read(path)?.pcm)
}

/// Reads a recording from memory; `name` is for messages.
pub fn read_bytes(bytes: Vec<u8>, name: &str) -> Result<Pcm, AudioError> {
    Ok(Limit::Whole.read_bytes(bytes, name)?.pcm)
}

/// Reads a recording from a pipe, as standard input is; `name` is for messages.
pub fn read_from(reader: impl Read + Send + Sync + 'static, name: &str) -> Result<Pcm, AudioError> {
    Ok(Limit::Whole.read_from(reader, name)?.pcm)
}

impl Limit {
    /// Reads a file, or a device or pipe that has a path.
    pub fn read(self, path: &Path) -> Result<Recording, AudioError> {
        let input = Input::open(path).map_err(|source| AudioError::Unreadable {
            path: path.to_path_buf(),
            source,
        })?;
        self.read_input(input, &path.display().to_string())
    }

    /// Reads a recording from memory; `name` is for messages.
    pub fn read_bytes(self, bytes: Vec<u8>, name: &str) -> Result<Recording, AudioError> {
        self.read_input(Input::memory(bytes), name)
    }

    /// Reads a recording from a pipe, no further than needed; `name` is for messages.
    pub fn read_from(
        self,
        reader: impl Read + Send + Sync + 'static,
        name: &str,
    ) -> Result<Recording, AudioError> {
        self.read_input(Input::pipe(reader), name)
    }

    fn read_input(self, input: Input, name: &str) -> Result<Recording, AudioError> {
        let watch = input.watch();
        let mut sound = Sound::new(self);
        let read = sound_of(input, name, &mut sound);
        let enough = sound.frames() > sound.wanted();
        match watch.trouble() {
            Some(Trouble::Failed(source)) => Err(AudioError::Unreadable {
                path: name.into(),
                source,
            }),
            Some(Trouble::Endless) if !enough => Err(AudioError::Endless {
                name: name.into(),
                bytes: MOST_HELD,
            }),
            _ => {
                read?;
                self.recording(sound, name)
            }
        }
    }

    /// Holds the limit against what was decoded.
    fn recording(self, mut sound: Sound, name: &str) -> Result<Recording, AudioError> {
        if sound.frames() == 0 {
            return Err(AudioError::NoSamples { name: name.into() });
        }
        check_rate(sound.sample_rate).map_err(|rate| AudioError::SampleRate {
            name: name.into(),
            rate,
        })?;
        let seconds = |frames: usize| frames as Second / Second::from(sound.sample_rate);
        let wanted = sound.wanted();
        let lasts = match sound.claimed {
            _ if sound.frames() <= wanted => Lasts::Exactly(seconds(sound.frames())),
            Some(claimed) if claimed > seconds(wanted) && claimed < MOST_CLAIMED => {
                Lasts::Exactly(claimed)
            }
            _ => Lasts::MoreThan(seconds(wanted)),
        };
        let cut = matches!(self, Limit::First(_)) && wanted < MOST_SAMPLES / sound.channels;
        if sound.frames() > wanted && !cut {
            let limit = match self {
                Limit::AtMost(limit) if seconds(wanted + 1) > limit => limit,
                _ => seconds(wanted),
            };
            return Err(AudioError::TooLong {
                name: name.into(),
                lasts,
                limit,
            });
        }
        sound.samples.truncate(wanted * sound.channels);
        let samples = mix::mono(&sound.samples, sound.channels);
        let pcm = Pcm::named(samples, sound.sample_rate, name)?;
        Ok(Recording { pcm, lasts })
    }
}

/// Finds out what it is, and decodes it.
fn sound_of(mut input: Input, name: &str, sound: &mut Sound) -> Result<(), AudioError> {
    let not_audio = |why: String| AudioError::NotAudio {
        name: name.into(),
        why,
    };
    let cut = |e: io::Error| not_audio(e.to_string());
    let start = behind_tags(&mut input).map_err(cut)?;
    let head = input.piece(start, HEAD).map_err(cut)?;
    if head.is_empty() && start == 0 {
        return Err(AudioError::EmptyFile { name: name.into() });
    }
    if head.is_empty() {
        let cut =
            "it begins like mp3, with a title or cover picture, but is cut off before the sound";
        return Err(not_audio(cut.into()));
    }
    match sniff(&head) {
        Format::Riff(riff) if start == 0 => riff_sound(input, riff, name, sound),
        Format::NotRead(what) => Err(not_audio(what.into())),
        format => {
            let file = mended(input, start, &head, sound.limit()).map_err(cut)?;
            decode::any(file, sound).map_err(|unread| {
                not_audio(match (unread, format) {
                    (Unread::Silent, _) => return AudioError::NoSound { name: name.into() },
                    (Unread::Container, Format::Known(name)) => {
                        format!("it begins like {name}, but is damaged or cut off")
                    }
                    (Unread::Container, _) => "its bytes are of no known format".into(),
                    (Unread::Codec(why), Format::Known(name)) => format!("{name}, {why}"),
                    (Unread::Codec(why), _) => why,
                })
            })
        }
    }
}

/// The recording from `start` on, so that its reader can make something of a cut one. An error says
/// what nothing can be made of.
fn mended(mut input: Input, start: u64, head: &[u8], limit: Limit) -> io::Result<Part> {
    let nothing = Vec::new;
    if ogg::is_ogg(head) {
        match ogg::end(&mut input, start, limit.seconds())? {
            End::Whole => {}
            End::Cut { at, page } => {
                return Ok(Part::new(nothing(), input, start, at).ending_in(page));
            }
            // A pipe may never end: it is read as it comes, and no further than is wanted.
            End::Later if input.known_length().is_none() => {
                return Ok(Part::new(nothing(), input, start, u64::MAX).straight_on());
            }
            End::Later => {}
        }
    } else if mpeg4::is_mpeg4(head) {
        match mpeg4::boxes(&mut input, start)? {
            Boxes::Whole => {}
            Boxes::Cut => return Ok(Part::new(nothing(), input, start, u64::MAX).straight_on()),
            Boxes::Broken => return Ok(Part::new(nothing(), input, start, start)),
        }
    } else if aiff::is_aiff(head) {
        if let Some((body, header)) = aiff::header_of_cut(&mut input, start)? {
            return Ok(Part::new(header, input, body, u64::MAX));
        }
    } else if head.starts_with(b"\x1A\x45\xDF\xA3") {
        // Matroska. Its reader looks for an index, which nobody needs, behind the end of a cut file.
        return Ok(Part::new(nothing(), input, start, u64::MAX).straight_on());
    } else if caf::is_caf(head)
        && let Some(caf) = caf::header(&mut input, start)?
    {
        return Ok(Part::new(caf.header, input, caf.start, caf.end));
    }
    Ok(Part::new(nothing(), input, start, u64::MAX))
}

/// Where the recording begins: behind tags with titles and cover pictures.
fn behind_tags(input: &mut Input) -> io::Result<u64> {
    const MOST_TAGS: usize = 8;
    let mut start = 0;
    for _ in 0..MOST_TAGS {
        match id3_length(&input.piece(start, HEAD)?) {
            Some(length) => start += length,
            None => break,
        }
    }
    Ok(start)
}

fn riff_sound(
    mut input: Input,
    riff: Riff,
    name: &str,
    sound: &mut Sound,
) -> Result<(), AudioError> {
    let not_audio = |why: String| AudioError::NotAudio {
        name: name.into(),
        why,
    };
    let wav = riff::read_header(&mut input, riff).map_err(|e| not_audio(e.to_string()))?;
    let wav = wav.ok_or_else(|| not_audio("its wav header is cut off".into()))?;
    let (start, end) = wav.data;
    let format = &wav.format;
    check_rate(format.sample_rate).map_err(|rate| AudioError::SampleRate {
        name: name.into(),
        rate,
    })?;
    let end = end.min(input.known_length().unwrap_or(u64::MAX));
    // Whole blocks, and a length of 32 bits.
    let blocks = end.saturating_sub(start).min(u32::MAX.into()) / format.block();
    let length = blocks * format.block();
    let header = format.plain_header(length as u32);
    let part = |head| Part::new(head, input, start, start + length);
    let symphonia = |part, sound| decode::any(part, sound).map_err(|_| format.codec());
    let read = match format.tag {
        WavFormat::MP2 | WavFormat::MP3 => symphonia(part(Vec::new()), sound),
        WavFormat::MS_ADPCM | WavFormat::IMA_ADPCM => symphonia(part(header), sound),
        _ if !format.is_plain() => return Err(not_audio(format.codec())),
        WavFormat::PCM => decode::plain(part(header), sound),
        WavFormat::FLOAT if format.bits == 32 => decode::plain(part(header), sound),
        _ => symphonia(part(header), sound),
    };
    if format.is_plain() && end < u64::MAX {
        let frames = end.saturating_sub(start) / format.block();
        sound.claimed = Some(frames as Second / Second::from(format.sample_rate));
    }
    read.map_err(not_audio)
}
