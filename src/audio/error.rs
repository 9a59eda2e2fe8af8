//! Why sound could not be read or written, as sentences.

use std::io;
use std::path::PathBuf;

use super::{HIGHEST_RATE, LOWEST_RATE, Lasts, Second, seconds_apart};

/// Why sound could not be read or written. `Display` is a whole sentence.
#[derive(Debug, thiserror::Error)]
pub enum AudioError {
    /// The bytes are of no format that is read here.
    #[error(
        "{name} is not audio this program reads ({why}); it reads wav, aiff, caf, flac, mp3, m4a, \
         webm and ogg; `{}` converts what else there is",
        ffmpeg(name)
    )]
    NotAudio {
        /// The file.
        name: String,
        /// What was found.
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
    /// The file is a film without sound.
    #[error("{name} holds pictures and no sound; record the question again")]
    NoSound {
        /// The file.
        name: String,
    },
    /// A sample is NaN, infinite, or far beyond what any scale explains.
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
    /// There is more sound than is wanted.
    #[error("{name} lasts {} and only {limit} s are heard; cut it", lasts.beside(*limit))]
    TooLong {
        /// The file.
        name: String,
        /// How long it is.
        lasts: Lasts,
        /// What is heard of it at most.
        limit: Second,
    },
    /// A pipe or device brings bytes without end.
    #[error("{name} brings more than {} MiB; give it a recording that ends", bytes >> 20)]
    Endless {
        /// The file.
        name: String,
        /// What was read of it.
        bytes: u64,
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

impl Lasts {
    /// "30.01 s", or "more than 30 s", where the limit is 30.
    fn beside(self, limit: Second) -> String {
        match self {
            Lasts::Exactly(seconds) => format!("{} s", seconds_apart(seconds, limit)),
            Lasts::MoreThan(seconds) => format!("more than {seconds} s"),
        }
    }
}

/// The line that makes a wav of a file, ready to be pasted into a shell.
fn ffmpeg(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+,@%".contains(c);
    let name = match name {
        // What came through a pipe is gone; it has to be a file for a second reading.
        "standard input" => "RECORDING".to_string(),
        // A name that looks like an option.
        name if name.starts_with('-') => format!("'./{}'", name.replace('\'', r"'\''")),
        name if name.chars().all(plain) => name.to_string(),
        name => format!("'{}'", name.replace('\'', r"'\''")),
    };
    format!("ffmpeg -i {name} -ar 16000 -ac 1 question.wav")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_helps_can_be_pasted() {
        let line = |name| ffmpeg(name);
        let tail = "-ar 16000 -ac 1 question.wav";
        assert_eq!(line("voice.amr"), format!("ffmpeg -i voice.amr {tail}"));
        assert_eq!(
            line("my note.amr"),
            format!("ffmpeg -i 'my note.amr' {tail}")
        );
        assert_eq!(line("it's;ls"), format!(r"ffmpeg -i 'it'\''s;ls' {tail}"));
        assert_eq!(line("-x.amr"), format!("ffmpeg -i './-x.amr' {tail}"));
        assert_eq!(
            line("standard input"),
            format!("ffmpeg -i RECORDING {tail}")
        );
    }
}
