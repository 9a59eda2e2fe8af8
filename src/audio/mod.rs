//! Sound at the rim: recordings in, any sample rate to the model's, and the model's spectrogram.
//!
//! Inside the library sound is always [`Pcm`]: one channel of f32 samples and their rate. Everything
//! that knows a file format stands in this folder, and all of it treats its input as hostile: bytes
//! from a stranger give samples or an [`AudioError`], never a panic, and never more memory than the
//! sound that is wanted.
//!
//! ```text
//! file, bytes, pipe ─input─▶ bytes ─sniff─▶ format ─decode─▶ channels ─mix─▶ Pcm ─resample─▶ Pcm ─mel─▶ Mel
//! ```

mod aiff;
mod caf;
mod decode;
mod error;
mod input;
mod limit;
pub(crate) mod mel;
mod mix;
mod mpeg4;
mod ogg;
mod opus;
mod pcm;
mod read;
mod resample;
mod riff;
mod seconds;
mod sniff;
mod streaming;
#[cfg(test)]
mod tests;

pub use error::AudioError;
pub use limit::{Lasts, Limit, Recording};
pub use pcm::{HIGHEST_RATE, LOUDEST, LOWEST_RATE, MOST_SAMPLES, Pcm, Second};
pub use read::{read, read_bytes, read_from};
pub use resample::resample;
pub use seconds::seconds_apart;
pub use streaming::Resampler;

use crate::error::{Error, ErrorKind};

impl From<AudioError> for Error {
    fn from(error: AudioError) -> Error {
        let kind = match error {
            AudioError::TooLong { .. } => ErrorKind::TooLong,
            _ => ErrorKind::Audio,
        };
        Error::new(kind, error.to_string()).caused_by(error)
    }
}
