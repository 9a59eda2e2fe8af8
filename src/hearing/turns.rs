//! Probabilities to turns: when a person begins to speak, pauses and is done.
//!
//! ```text
//!            sure, for a while               not speech                long, or complete
//! Silence ──▶ Perhaps ────────────▶ Speech ◀───────────▶ Pause ──────────────────────────▶ Silence
//!                │   into an answer   ▲         sure
//!                └──────▶ Overlap ────┘
//! ```
//!
//! Pure: a script of probabilities drives it. What needs more than a probability, [`Turns`] asks its
//! caller for.

use std::ops::Range;

use super::FRAME;
use super::listener::{Heard, ListenerRules};
use crate::error::Result;

/// Frames of speech that begin a turn (96 ms).
const LEAST_SPEECH: u64 = 3;
/// Frames of speech into an answer that hold it (64 ms).
const LEAST_OVERLAP: u64 = 2;
/// Frames of no speech that end an overlap (160 ms).
const OVERLAP_OVER: u64 = 5;
/// Frames by which the detector goes on behind a voice.
const AFTERGLOW: u64 = 1;
/// Samples behind the last speech that belong to it: a last consonant is quieter than its vowel.
const PADDING: u64 = 300 * 16;
/// Frames of a pause at which its meaning is asked for, again and again while it grows.
const ASKED_AT: [u64; 7] = [6, 9, 12, 16, 24, 40, 64];
/// Frames of the shortest pause that ends a complete sentence (224 ms).
const SHORTEST: u64 = 7;

/// What [`Turns`] asks about the sound of a span.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Ask {
    /// Whether this is speech, heard by itself: sounds that begin all at once pass for it.
    Speech(Range<u64>),
    /// Whether what is said is complete.
    Complete(Range<u64>),
}

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
}

#[derive(Debug, Clone, Copy)]
enum State {
    Silence,
    /// Speech since this frame, if it lasts.
    Perhaps {
        since: u64,
    },
    /// It was no speech, though it seems so; until it is over.
    Noise,
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
        }
    }

    pub fn set_rules(&mut self, rules: ListenerRules) {
        self.rules = rules;
    }

    /// What comes before `at` belongs to no further turn.
    pub fn restart(&mut self, at: u64) {
        self.state = State::Silence;
        self.end = at;
    }

    /// Takes the next frame in; what it says. `ask` answers with yes or no.
    pub fn push(
        &mut self,
        frame: Frame,
        mut ask: impl FnMut(Ask) -> Result<bool>,
    ) -> Result<Option<Heard>> {
        let at = self.seen;
        self.seen += 1;
        let sure = frame.probability >= self.rules.threshold;
        let none = frame.probability < 0.6 * self.rules.threshold;
        match self.state {
            State::Silence if sure => self.perhaps(at, frame.playing, &mut ask),
            State::Perhaps { .. } | State::Noise if none => {
                self.state = State::Silence;
                Ok(None)
            }
            State::Perhaps { since } => self.perhaps(since, frame.playing, &mut ask),
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
            State::Silence | State::Noise | State::Speech { .. } => Ok(None),
        }
    }

    /// There is speech since a frame. Whether it has lasted long enough to count.
    fn perhaps(
        &mut self,
        since: u64,
        playing: bool,
        ask: &mut impl FnMut(Ask) -> Result<bool>,
    ) -> Result<Option<Heard>> {
        self.state = State::Perhaps { since };
        let lasted = self.seen - since;
        if playing && lasted >= LEAST_OVERLAP {
            self.state = State::Overlap { since, quiet: 0 };
            return Ok(Some(Heard::Overlap));
        }
        if playing || lasted < LEAST_SPEECH {
            return Ok(None);
        }
        if !ask(Ask::Speech(position(since)..position(self.seen)))? {
            self.state = State::Noise;
            return Ok(None);
        }
        let start = self.start(since);
        self.state = State::Speech { start };
        Ok(Some(Heard::Start { at: start }))
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
        let at = self.start(since);
        self.state = State::Speech { start: at };
        Some(Heard::Interruption { at })
    }

    /// There is no speech since a frame. Whether the turn is over, or may be.
    fn pause(
        &mut self,
        start: u64,
        since: u64,
        complete: bool,
        ask: &mut impl FnMut(Ask) -> Result<bool>,
    ) -> Result<Option<Heard>> {
        let lasts = self.seen - since;
        let speech = start..(position(since) + PADDING).min(position(self.seen));
        let complete = match self.rules.meaning {
            Some(_) if ASKED_AT.contains(&lasts) => ask(Ask::Complete(start..position(self.seen)))?,
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

    /// Where a turn begins whose first frame of speech is `since`: the pre-roll is included, and
    /// no turn before.
    fn start(&self, since: u64) -> u64 {
        let pre_roll = (self.rules.pre_roll * 16) as u64;
        position(since).saturating_sub(pre_roll).max(self.end)
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
mod tests {
    use super::*;

    const RULES: ListenerRules = ListenerRules {
        threshold: 0.5,
        pre_roll: 300,
        pause: Some(500),
        meaning: None,
        speculate: Some(160),
        least_interruption: 350,
    };

    /// Probabilities by letter: `s` speech, `m` maybe, `.` none; a capital while an answer plays, and
    /// `,` for none. What is heard, with the frame it is told behind.
    fn hear(rules: &ListenerRules, script: &str, complete: &[bool]) -> Vec<(usize, Heard)> {
        let mut turns = Turns::new(rules.clone());
        let mut complete = complete.iter().copied();
        let mut heard = Vec::new();
        for (at, letter) in script.chars().enumerate() {
            let probability = match letter.to_ascii_lowercase() {
                's' => 0.9,
                'm' => 0.4,
                _ => 0.1,
            };
            let playing = letter.is_uppercase() || letter == ',';
            let ask = |ask| match ask {
                Ask::Speech(_) => Ok(true),
                Ask::Complete(_) => Ok(complete.next().unwrap_or(false)),
            };
            let frame = Frame {
                probability,
                playing,
            };
            heard.extend(turns.push(frame, ask).expect("no graph").map(|h| (at, h)));
        }
        heard
    }

    fn kinds(heard: &[(usize, Heard)]) -> String {
        let letter = |heard: &Heard| match heard {
            Heard::Start { .. } => 'S',
            Heard::Pause { .. } => 'p',
            Heard::Resume => 'r',
            Heard::End { .. } => 'E',
            Heard::Overlap => 'o',
            Heard::OverlapOver => 'x',
            Heard::Interruption { .. } => 'I',
        };
        heard.iter().map(|(_, heard)| letter(heard)).collect()
    }

    fn script(parts: &[(&str, usize)]) -> String {
        parts.iter().map(|(part, n)| part.repeat(*n)).collect()
    }

    #[test]
    fn a_turn_begins_with_its_pre_roll_and_ends_behind_its_pause() {
        let heard = hear(
            &RULES,
            &script(&[(".", 20), ("s", 10), ("m", 3), (".", 30)]),
            &[],
        );
        let start = position(20) - 4800;
        let paused = start..position(38);
        let ended = start..position(33) + 4800;
        assert_eq!(
            heard,
            [
                (22, Heard::Start { at: start }),
                (37, Heard::Pause { speech: paused }),
                (
                    48,
                    Heard::End {
                        speech: ended,
                        silent_since: position(33)
                    }
                ),
            ]
        );
    }

    #[test]
    fn speech_at_the_first_sample_loses_nothing_and_turns_never_overlap() {
        let heard = hear(&RULES, &script(&[("s", 5), (".", 16), ("s", 5)]), &[]);
        assert_eq!(heard[0].1, Heard::Start { at: 0 });
        let Heard::End { speech, .. } = &heard[2].1 else {
            panic!("{heard:?}")
        };
        let Heard::Start { at } = heard[3].1 else {
            panic!("{heard:?}")
        };
        assert!(at >= speech.end);
    }

    #[test]
    fn what_is_too_short_is_no_turn() {
        assert_eq!(hear(&RULES, "..s...ss...s.s.s..ms..", &[]), []);
    }

    #[test]
    fn speech_goes_on_behind_a_short_pause() {
        let heard = hear(
            &RULES,
            &script(&[("s", 5), (".", 3), ("s", 5), (".", 9), ("s", 1), (".", 16)]),
            &[],
        );
        assert_eq!(kinds(&heard), "SprpE");
    }

    #[test]
    fn the_owner_ends_a_turn_that_no_pause_ends() {
        let rules = ListenerRules {
            pause: None,
            ..RULES
        };
        let heard = hear(&rules, &script(&[("s", 5), (".", 500)]), &[]);
        assert_eq!(kinds(&heard), "Sp");
    }

    #[test]
    fn a_complete_sentence_ends_soon_and_another_waits() {
        let rules = ListenerRules {
            meaning: Some(1500),
            ..RULES
        };
        let turn = script(&[("s", 9), (".", 60)]);
        let end = |complete: &[bool]| {
            let heard = hear(&rules, &turn, complete);
            assert_eq!(kinds(&heard), "SpE");
            heard[2].0
        };
        assert_eq!(end(&[true]), 9 + 6);
        assert_eq!(end(&[false, false, true]), 9 + 11);
        assert_eq!(end(&[false, false, false]), 9 + 46);
    }

    #[test]
    fn a_sentence_that_goes_on_is_asked_about_anew() {
        let rules = ListenerRules {
            meaning: Some(1500),
            ..RULES
        };
        let heard = hear(
            &rules,
            &script(&[("s", 9), (".", 6), ("s", 9), (".", 46)]),
            &[true],
        );
        assert_eq!(kinds(&heard), "Sprp");
    }

    #[test]
    fn a_murmur_into_an_answer_holds_it_and_a_sentence_interrupts_it() {
        // 300 ms touch ten frames, and the detector goes on for one more.
        let heard = hear(&RULES, &script(&[(",", 20), ("S", 11), (",", 8)]), &[]);
        assert_eq!(heard, [(21, Heard::Overlap), (35, Heard::OverlapOver)]);
        let heard = hear(
            &RULES,
            &script(&[(",", 20), ("S", 2), ("s", 30), (".", 20)]),
            &[],
        );
        assert_eq!(kinds(&heard), "oIpE");
        assert_eq!(
            heard[1],
            (
                31,
                Heard::Interruption {
                    at: position(20) - 4800
                }
            )
        );
    }

    #[test]
    fn one_frame_does_not_hold_an_answer() {
        assert_eq!(hear(&RULES, ",,,S,,M,S,,", &[]), []);
    }

    #[test]
    fn what_comes_before_a_restart_is_in_no_turn() {
        let mut turns = Turns::new(RULES);
        turns.restart(700);
        let frame = Frame {
            probability: 0.9,
            playing: false,
        };
        let start = (0..3)
            .filter_map(|_| turns.push(frame, |_| Ok(true)).expect("no graph"))
            .last();
        assert_eq!(start, Some(Heard::Start { at: 700 }));
    }

    #[test]
    fn a_noise_that_seems_speech_is_no_turn_until_it_is_over() {
        let mut turns = Turns::new(RULES);
        let mut asked = 0;
        for probability in [0.9; 40] {
            let frame = Frame {
                probability,
                playing: false,
            };
            let heard = turns.push(frame, |_| {
                asked += 1;
                Ok(false)
            });
            assert_eq!(heard.expect("no graph"), None);
        }
        assert_eq!(asked, 1);
    }
}
