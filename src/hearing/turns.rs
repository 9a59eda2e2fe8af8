//! Probabilities to turns: when a person begins to speak, pauses and is done.
//!
//! ```text
//!            sure, for a while               not speech                long, or complete
//! Silence ──▶ Perhaps ────────────▶ Speech ◀───────────▶ Pause ──────────────────────────▶ Silence
//!                │   into an answer   ▲         sure
//!                └──────▶ Overlap ────┘
//! ```
//!
//! Pure: a script of probabilities drives it. Whether a sentence is complete, [`Turns::wants`] to know;
//! its caller says so once it is known, behind whatever frame.

use std::ops::Range;

use super::FRAME;
use super::listener::{Heard, ListenerRules};

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
/// Frames of speech that end a pause (96 ms). Fewer are a breath, a click, or the detector's doubt: what
/// was prepared in the pause is not thrown away for them.
const GOES_ON: u64 = 3;

/// What is known of a frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    /// That it is speech.
    pub probability: f32,
    /// Whether an answer was played.
    pub playing: bool,
    /// Whether a sound has just begun that may be speech.
    pub onset: bool,
}

/// Follows frames. Positions are samples since the first.
pub(super) struct Turns {
    rules: ListenerRules,
    state: State,
    /// Frames it has seen.
    seen: u64,
    /// What comes before belongs to no further turn.
    end: u64,
    /// Where the question of the latest turn begins: with it, or with a turn that it goes on with.
    from: u64,
    /// First frame behind the voice of the turn that was over last, until something else begins.
    over_since: Option<u64>,
    /// The latest frames of speech, with those less than [`WORDS_APART`] before them.
    words: Range<u64>,
    /// The turn that may be complete, until that was asked.
    wants: Option<Range<u64>>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Silence,
    /// Speech since this frame, if it lasts.
    Perhaps {
        since: u64,
    },
    /// A sound into an answer; `quiet` frames of none were the last.
    Overlap {
        /// The first frame of speech, once there was one.
        voice: Option<u64>,
        quiet: u64,
    },
    /// A turn that began at this position.
    Speech {
        start: u64,
    },
    /// A turn with no speech since a frame.
    Pause(Pause),
}

#[derive(Debug, Clone, Copy)]
struct Pause {
    /// Position at which the turn began.
    start: u64,
    /// First frame of the pause.
    since: u64,
    /// Whether the sentence sounds complete.
    complete: bool,
    /// Frames of speech behind the last one of none: perhaps the turn goes on.
    again: u64,
    /// Whether it was told.
    told: bool,
}

impl Turns {
    pub fn new(rules: ListenerRules) -> Turns {
        Turns {
            rules,
            state: State::Silence,
            seen: 0,
            end: 0,
            from: 0,
            over_since: None,
            words: 0..0,
            wants: None,
        }
    }

    pub fn set_rules(&mut self, rules: ListenerRules) {
        self.rules = rules;
    }

    /// What comes before `at` belongs to no further turn.
    pub fn restart(&mut self, at: u64) {
        self.state = State::Silence;
        self.end = at;
        self.over_since = None;
        self.words = self.seen..self.seen;
        self.wants = None;
    }

    /// Frames it has seen.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// The span of a turn that may be complete, once each time that this is worth asking.
    pub fn wants(&mut self) -> Option<Range<u64>> {
        self.wants.take()
    }

    /// Whether a turn pauses.
    pub fn is_paused(&self) -> bool {
        matches!(self.state, State::Pause(_))
    }

    /// Whether the turn that pauses sounds complete; what follows at once.
    pub fn is_complete(&mut self, complete: bool) -> Option<Heard> {
        let State::Pause(mut pause) = self.state else {
            return None;
        };
        pause.complete = complete;
        self.state = State::Pause(pause);
        self.end_of(pause)
    }

    /// Takes the next frame in; what it says.
    pub fn push(&mut self, frame: Frame) -> Option<Heard> {
        let at = self.seen;
        self.seen += 1;
        let sure = frame.probability >= self.rules.threshold;
        let none = frame.probability < 0.6 * self.rules.threshold;
        if sure {
            let near = at - self.words.end <= WORDS_APART && !self.words.is_empty();
            self.words = if near { self.words.start } else { at }..at + 1;
        }
        match self.state {
            State::Silence if frame.onset && frame.playing => {
                self.overlap(sure.then_some(at), 0);
                Some(Heard::Overlap)
            }
            State::Silence if sure => self.perhaps(at, frame.playing),
            State::Perhaps { .. } if none => {
                self.state = State::Silence;
                None
            }
            State::Perhaps { since } => self.perhaps(since, frame.playing),
            State::Overlap { voice, quiet } => {
                let quiet = if none && !frame.onset { quiet + 1 } else { 0 };
                self.overlap(voice.or(sure.then_some(at)), quiet)
            }
            State::Speech { start } if none => self.pause(Pause {
                start,
                since: at,
                complete: false,
                again: 0,
                told: false,
            }),
            State::Pause(mut pause) => {
                pause.again = match (sure, none) {
                    (true, _) => pause.again + 1,
                    (_, true) => 0,
                    _ => pause.again,
                };
                self.pause(pause)
            }
            State::Silence | State::Speech { .. } => None,
        }
    }

    /// There is speech since a frame. Whether it has lasted long enough to count.
    fn perhaps(&mut self, since: u64, playing: bool) -> Option<Heard> {
        self.state = State::Perhaps { since };
        if playing {
            // One frame is enough: playback can go on again, and a person must not wait.
            self.overlap(Some(since), 0);
            return Some(Heard::Overlap);
        }
        if self.seen - since < LEAST_SPEECH {
            return None;
        }
        let (at, from) = self.begin();
        Some(Heard::Start { at, from })
    }

    /// Whether a sound into an answer is over, or has become an interruption.
    fn overlap(&mut self, voice: Option<u64>, quiet: u64) -> Option<Heard> {
        self.state = State::Overlap { voice, quiet };
        if quiet >= OVERLAP_OVER {
            self.state = State::Silence;
            return Some(Heard::OverlapOver);
        }
        let least = frames(self.rules.least_interruption) + AFTERGLOW;
        if quiet > 0 || voice.is_none_or(|since| self.seen - since < least) {
            return None;
        }
        let (at, from) = self.begin();
        Some(Heard::Interruption { at, from })
    }

    /// A turn of the latest words begins; where, and where its question does.
    fn begin(&mut self) -> (u64, u64) {
        let start = self.start();
        let soon = |ms| {
            let since = self.over_since?;
            (self.words.start < since + frames(ms)).then_some(self.from)
        };
        self.from = self.rules.goes_on.and_then(soon).unwrap_or(start);
        self.over_since = None;
        self.state = State::Speech { start };
        (start, self.from)
    }

    /// A pause grows by a frame. Whether the turn is over, may be, or goes on.
    fn pause(&mut self, mut pause: Pause) -> Option<Heard> {
        self.state = State::Pause(pause);
        if pause.again > 0 {
            return self.goes_on(pause);
        }
        let lasts = self.seen - pause.since;
        if self.rules.meaning.is_some() && ASKED_AT.contains(&lasts) {
            self.wants = Some(self.from..position(self.seen));
        }
        if let Some(end) = self.end_of(pause) {
            return Some(end);
        }
        let speculate = self.rules.speculate.map(|ms| frames(ms).max(1));
        if pause.told || speculate.is_none_or(|least| lasts < least) {
            return None;
        }
        pause.told = true;
        self.state = State::Pause(pause);
        let speech = self.speech(pause);
        Some(Heard::Pause { speech })
    }

    /// The end of the turn, if its pause is long enough.
    fn end_of(&mut self, pause: Pause) -> Option<Heard> {
        let least = match (self.rules.meaning, self.rules.pause) {
            (Some(_), _) if pause.complete => SHORTEST,
            (Some(longest), _) => frames(longest),
            (None, Some(longest)) => frames(longest).max(1),
            (None, None) => u64::MAX,
        };
        if pause.again > 0 || self.seen - pause.since < least {
            return None;
        }
        let speech = self.speech(pause);
        self.state = State::Silence;
        self.end = speech.end;
        self.over_since = Some(pause.since);
        self.words = self.seen..self.seen;
        Some(Heard::End {
            speech,
            silent_since: position(pause.since),
        })
    }

    /// Speech again, behind a pause. Whether it is enough to go on with.
    fn goes_on(&mut self, pause: Pause) -> Option<Heard> {
        if pause.again < GOES_ON {
            return None;
        }
        self.state = State::Speech { start: pause.start };
        pause.told.then_some(Heard::Resume)
    }

    /// The sound of a turn that pauses.
    fn speech(&self, pause: Pause) -> Range<u64> {
        pause.start..(position(pause.since) + PADDING).min(position(self.seen))
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
