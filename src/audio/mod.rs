//! Sound at the rim: files to samples, any rate to the model's, samples to wav.
//!
//! Inside, sound is mono `f32` in -1..1 with its sample rate beside it.

mod read;
mod resample;
mod wav;

use std::path::PathBuf;

pub use read::{read, read_bytes};
pub use resample::resample;
pub use wav::{WavSink, beside, to_i16};

/// Mono sound.
#[derive(Debug, Clone, PartialEq)]
pub struct Pcm {
    /// -1..1; the model also takes louder ones.
    pub samples: Vec<f32>,
    /// Hz.
    pub sample_rate: u32,
}

/// Why sound could not be read or written; `Display` is a whole sentence.
#[derive(Debug, thiserror::Error)]
pub enum AudioError {
    #[error("cannot read {path}: {source}")]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("cannot write {path}: {source}")]
    Unwritable { path: PathBuf, source: std::io::Error },
    #[error("{name} is empty; give a wav, flac, mp3 or ogg file with speech in it")]
    EmptyFile { name: String },
    #[error("{name} is not audio this program reads ({why}); give a wav, flac, mp3 or ogg (Vorbis) file")]
    NotAudio { name: String, why: String },
    #[error("{name} holds no sound (0 samples)")]
    NoSamples { name: String },
    #[error("{name} is damaged: sample {index} is {value}, not a number between -1 and 1")]
    BadSample { name: String, index: usize, value: f32 },
    #[error("sound at {from} Hz cannot be resampled to {to} Hz: {why}")]
    Resample { from: u32, to: u32, why: String },
}
