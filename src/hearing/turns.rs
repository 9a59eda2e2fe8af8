//! Probabilities to turns: when a person begins to speak, pauses and is done.
//!
//! ```text
//!            sure, for a while               not speech                long, or complete
//! Silence ──▶ Perhaps ────────────▶ Speech ◀───────────▶ Pause ──────────────────────────▶ Silence
//!                │   into an answer   ▲         sure
//!                └──────▶ Overlap ────┘
//! ```
//!
//! Pure: a script of probabilities drives it. Whether a sentence is complete, [`Turns`] asks its caller.

use std::ops::Range;

use super::FRAME;
use super::listener::{Heard, ListenerRules};
use crate::error::Result;

/// Frames of speech that begin a turn (160 ms). Of 92 hums, bits of music and noises behind a quiet room
/// 10 last as long for the detector; behind 96 ms it would be 18. Of 120 short recordings 3 do not.
const LEAST_SPEECH: u64 = 5;
/// Frames of no speech that end an overlap (160 ms).
const OVERLAP_OVER: u64 = 5;
/// Frames of no speech that lie between two words of one turn at most (512 ms): a first word may be too
/// short to begin it.
const WORDS_APART: u64 = 16;
/// Frames by which the detector goes on behind a voice.
const AFTERGLOW: u64 = 1;
/// Samples behind the last speech that belong to it: a last consonant is quieter than its vowel.
const PADDING: u64 = 300 * 16;
/// Frames of a pause at which its meaning is asked for, again and again while it grows.
const ASKED_AT: [u64; 7] = [6, 9, 12, 16, 24, 40, 64];
/// Frames of the shortest pause that ends a complete sentence (224 ms).
const SHORTEST: u64 = 7;

/// What is known of a frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    /// That it is speech.
    pub probability: f32,
    /// Whether an answer was played.
    pub playing: bool,
}

/// Follows frames. Positions are samples since the first.
pub(super) struct Turns {
    rules: ListenerRules,
    state: State,
    /// Frames it has seen.
    seen: u64,
    /// What comes before belongs to no further turn.
    end: u64,
    /// The latest frames of speech, with those less than [`WORDS_APART`] before them.
    words: Range<u64>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Silence,
    /// Speech since this frame, if it lasts.
    Perhaps {
        since: u64,
    },
    /// Speech into an answer since this frame; `quiet` frames of none were the last.
    Overlap {
        since: u64,
        quiet: u64,
    },
    /// A turn that began at this position.
    Speech {
        start: u64,
    },
    /// A turn with no speech since this frame.
    Pause {
        start: u64,
        since: u64,
        complete: bool,
    },
}

impl Turns {
    pub fn new(rules: ListenerRules) -> Turns {
        Turns {
            rules,
            state: State::Silence,
            seen: 0,
            end: 0,
            words: 0..0,
        }
    }

    pub fn set_rules(&mut self, rules: ListenerRules) {
        self.rules = rules;
    }

    /// What comes before `at` belongs to no further turn.
    pub fn restart(&mut self, at: u64) {
        self.state = State::Silence;
        self.end = at;
        self.words = self.seen..self.seen;
    }

    /// Takes the next frame in; what it says. `ask`: whether what is said in a span sounds complete.
    pub fn push(
        &mut self,
        frame: Frame,
        mut ask: impl FnMut(Range<u64>) -> Result<bool>,
    ) -> Result<Option<Heard>> {
        let at = self.seen;
        self.seen += 1;
        let sure = frame.probability >= self.rules.threshold;
        let none = frame.probability < 0.6 * self.rules.threshold;
        if sure {
            let near = at - self.words.end <= WORDS_APART && !self.words.is_empty();
            self.words = if near { self.words.start } else { at }..at + 1;
        }
        match self.state {
            State::Silence if sure => Ok(self.perhaps(at, frame.playing)),
            State::Perhaps { .. } if none => {
                self.state = State::Silence;
                Ok(None)
            }
            State::Perhaps { since } => Ok(self.perhaps(since, frame.playing)),
            State::Overlap { since, quiet } => {
                let quiet = if none { quiet + 1 } else { 0 };
                Ok(self.overlap(since, quiet))
            }
            State::Speech { start } if none => self.pause(start, at, false, &mut ask),
            State::Pause { start, since, .. } if sure => Ok(self.resume(start, at - since)),
            State::Pause {
                start,
                since,
                complete,
            } => self.pause(start, since, complete, &mut ask),
            State::Silence | State::Speech { .. } => Ok(None),
        }
    }

    /// There is speech since a frame. Whether it has lasted long enough to count.
    fn perhaps(&mut self, since: u64, playing: bool) -> Option<Heard> {
        self.state = State::Perhaps { since };
        if playing {
            // One frame is enough: playback can go on again, and a person must not wait.
            self.state = State::Overlap { since, quiet: 0 };
            return Some(Heard::Overlap);
        }
        if self.seen - since < LEAST_SPEECH {
            return None;
        }
        let start = self.start();
        self.state = State::Speech { start };
        Some(Heard::Start { at: start })
    }

    fn overlap(&mut self, since: u64, quiet: u64) -> Option<Heard> {
        self.state = State::Overlap { since, quiet };
        if quiet >= OVERLAP_OVER {
            self.state = State::Silence;
            return Some(Heard::OverlapOver);
        }
        let least = frames(self.rules.least_interruption) + AFTERGLOW;
        if quiet > 0 || self.seen - since < least {
            return None;
        }
        let at = self.start();
        self.state = State::Speech { start: at };
        Some(Heard::Interruption { at })
    }

    /// There is no speech since a frame. Whether the turn is over, or may be.
    fn pause(
        &mut self,
        start: u64,
        since: u64,
        complete: bool,
        ask: &mut impl FnMut(Range<u64>) -> Result<bool>,
    ) -> Result<Option<Heard>> {
        let lasts = self.seen - since;
        let speech = start..(position(since) + PADDING).min(position(self.seen));
        let complete = match self.rules.meaning {
            Some(_) if ASKED_AT.contains(&lasts) => ask(start..position(self.seen))?,
            _ => complete,
        };
        self.state = State::Pause {
            start,
            since,
            complete,
        };
        let least = match (self.rules.meaning, self.rules.pause) {
            (Some(_), _) if complete => SHORTEST,
            (Some(longest), _) => frames(longest),
            (None, Some(pause)) => frames(pause).max(1),
            (None, None) => u64::MAX,
        };
        if lasts >= least {
            self.state = State::Silence;
            self.end = speech.end;
            let silent_since = position(since);
            return Ok(Some(Heard::End {
                speech,
                silent_since,
            }));
        }
        let told = self
            .rules
            .speculate
            .is_some_and(|s| frames(s).max(1) == lasts);
        Ok(told.then_some(Heard::Pause { speech }))
    }

    /// Speech again, behind a pause of `lasted` frames.
    fn resume(&mut self, start: u64, lasted: u64) -> Option<Heard> {
        self.state = State::Speech { start };
        let told = self
            .rules
            .speculate
            .is_some_and(|s| frames(s).max(1) <= lasted);
        told.then_some(Heard::Resume)
    }

    /// Where a turn of the latest words begins: the pre-roll is included, and no turn before.
    fn start(&self) -> u64 {
        let pre_roll = super::samples(self.rules.pre_roll) as u64;
        position(self.words.start)
            .saturating_sub(pre_roll)
            .max(self.end)
    }
}

/// First sample of a frame.
fn position(frame: u64) -> u64 {
    frame * FRAME as u64
}

/// Whole frames of a number of milliseconds.
fn frames(ms: usize) -> u64 {
    super::samples(ms).div_ceil(FRAME) as u64
}

#[cfg(test)]
mod tests;
