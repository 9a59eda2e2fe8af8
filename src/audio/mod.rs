//! Sound at the rim: files in, files out, any sample rate to the model's.
//!
//! Inside the library sound is always [`Pcm`]: one channel of f32 samples and their rate. Everything
//! that knows a file format stands in this folder, and all of it treats its input as hostile: bytes
//! from a stranger give samples or an [`AudioError`], never a panic.

pub(crate) mod mel;
mod pcm;
mod read;
mod read_wav;
mod resample;

use std::io;
use std::path::PathBuf;

use crate::error::{Error, ErrorKind};
pub use read::{read, read_bytes};
pub use resample::resample;

pub use pcm::{Pcm, seconds_apart};

impl From<AudioError> for Error {
    fn from(error: AudioError) -> Error {
        Error::new(ErrorKind::Audio, error.to_string()).caused_by(error)
    }
}

/// Why sound could not be read or written. `Display` is a whole sentence.
#[derive(Debug, thiserror::Error)]
pub enum AudioError {
    /// The bytes are of no format known here.
    #[error(
        "{name} is not audio this program reads ({why}); give it wav (PCM or 32-bit float), flac, mp3 or ogg vorbis"
    )]
    NotAudio {
        /// The file.
        name: String,
        /// What stood in the way.
        why: String,
    },
    /// The file has no bytes.
    #[error("{name} is an empty file; record the question again")]
    EmptyFile {
        /// The file.
        name: String,
    },
    /// The file is audio without sound in it.
    #[error("{name} holds no samples; record the question again")]
    NoSamples {
        /// The file.
        name: String,
    },
    /// A sample is NaN or infinite.
    #[error(
        "sample {sample} of {name} is {value}, not a number that can be heard; write the file again with finite samples"
    )]
    NotFinite {
        /// The file.
        name: String,
        /// Which, counted from 0 in time.
        sample: usize,
        /// What it is.
        value: f32,
    },
    /// The file claims a sample rate that no sound has.
    #[error(
        "{name} claims a sample rate of {rate} Hz; rates from {} to {} Hz can be heard",
        LOWEST_RATE,
        HIGHEST_RATE
    )]
    SampleRate {
        /// The file.
        name: String,
        /// Hz.
        rate: u32,
    },
    /// The sample rate could not be changed.
    #[error("sound cannot be brought from {from} Hz to {to} Hz: {why}")]
    Resample {
        /// Hz.
        from: u32,
        /// Hz.
        to: u32,
        /// What the resampler said.
        why: String,
    },
    /// The system would not give the file.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system would not take the file.
    #[error("cannot write {path}: {source}")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Hz; below it speech is gone.
const LOWEST_RATE: u32 = 1_000;
/// Hz; the highest rate in use. Bounds the resampler's memory, which grows with odd rates.
const HIGHEST_RATE: u32 = 384_000;
