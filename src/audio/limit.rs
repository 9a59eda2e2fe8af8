//! How much of a recording is wanted, and how much of it there is.
//!
//! A minute of bytes can hold hours of sound, so decoding stops as soon as it is known that there is
//! too much: a limit is told before the reading, not applied behind it.

use super::{MOST_SAMPLES, Pcm, Second};

/// How much of a recording is wanted. Never more than [`MOST_SAMPLES`] are read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// All of it.
    Whole,
    /// All of it; a longer one is refused.
    AtMost(Second),
    /// Its beginning; the rest is not decoded.
    First(Second),
}

/// What was read.
#[derive(Debug, Clone)]
pub struct Recording {
    /// The sound that was wanted.
    pub pcm: Pcm,
    /// How long the whole recording is.
    pub lasts: Lasts,
}

/// How long a recording is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Lasts {
    /// Read to its end, or told by the file.
    Exactly(Second),
    /// Read no further, and the file does not tell.
    MoreThan(Second),
}

impl Limit {
    /// The longest that matters: beyond it a recording need not be looked through.
    pub(super) fn seconds(self) -> Second {
        match self {
            Limit::Whole => MOST_SAMPLES as Second / Second::from(super::LOWEST_RATE),
            Limit::AtMost(seconds) | Limit::First(seconds) => seconds,
        }
    }

    /// Frames (samples of every channel at one time) to keep.
    pub(super) fn frames(self, sample_rate: u32, channels: usize) -> usize {
        let most = MOST_SAMPLES / channels.max(1);
        match self {
            Limit::Whole => most,
            // The cast takes NaN and negative numbers to 0.
            Limit::AtMost(seconds) | Limit::First(seconds) => {
                ((seconds * Second::from(sample_rate)) as usize).clamp(1, most)
            }
        }
    }
}
