//! Sound that is still coming to turns: who speaks, since when, and whether they are done.

use std::ops::Range;

use ndarray::{Axis, s};

use super::frames::Frames;
use super::level::{Gain, HighPass};
use super::meaning::Meaning;
use super::tape::Tape;
use super::turns::{Ask, Frame, Turns};
use super::{CONTEXT, FRAME, SAMPLE_RATE};
use crate::error::Result;
use crate::graph::{Runtime, Vad};

/// Samples that are kept: a minute, twice what models hear.
const KEPT: usize = 60 * SAMPLE_RATE as usize;
/// Probability from which a turn sounds complete.
const COMPLETE: f32 = 0.5;
/// Samples behind the last that were played in which their echo is expected (256 ms).
const ECHO: u64 = 4096;

/// What a listener has heard. Positions are samples at 16 kHz since the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Speech began; the pre-roll is included.
    Start {
        /// Its first sample.
        at: u64,
    },
    /// It has paused: the turn may be over.
    Pause {
        /// What its question would be now.
        speech: Range<u64>,
    },
    /// It goes on behind a pause.
    Resume,
    /// The turn is over.
    End {
        /// Its sound, padding included.
        speech: Range<u64>,
        /// Where the voice itself ended, without any padding.
        silent_since: u64,
    },
    /// Somebody may be speaking into the answer that is being played.
    Overlap,
    /// It was a murmur, a noise or the answer's own echo.
    OverlapOver,
    /// Somebody speaks into the answer: a turn that goes on like one behind `Start`.
    Interruption {
        /// Its first sample.
        at: u64,
    },
}

/// When speech begins and ends.
#[derive(Debug, Clone, PartialEq)]
pub struct ListenerRules {
    /// Probability from which a frame is speech.
    pub threshold: f32,
    /// Milliseconds before the first speech that belong to it.
    pub pre_roll: usize,
    /// Pause that ends a turn, ms; `None`: the owner ends it.
    pub pause: Option<usize>,
    /// By meaning, whatever `pause` says: the longest pause that is waited for, ms.
    pub meaning: Option<usize>,
    /// Pause behind which [`Heard::Pause`] is told, ms.
    pub speculate: Option<usize>,
    /// Speech into an answer shorter than this is no interruption, ms.
    pub least_interruption: usize,
}

impl Default for ListenerRules {
    fn default() -> ListenerRules {
        ListenerRules {
            threshold: 0.5,
            pre_roll: 300,
            pause: Some(500),
            meaning: None,
            speculate: Some(160),
            least_interruption: 350,
        }
    }
}

impl ListenerRules {
    /// Whether the owner ends turns: then nothing is listened for, and sound is only kept.
    fn by_hand(&self) -> bool {
        self.pause.is_none() && self.meaning.is_none()
    }
}

/// Follows a microphone at 16 kHz. It keeps the sound of the last minute.
pub struct Listener {
    runtime: Runtime,
    rules: ListenerRules,
    vad: Vad,
    meaning: Option<Meaning>,
    high_pass: HighPass,
    gain: Gain,
    frames: Frames,
    tape: Tape,
    turns: Turns,
    /// Position of the last sample that was heard while something was played.
    played: Option<u64>,
}

impl Listener {
    /// Has heard nothing. Where turns end by meaning, the graph for that is opened, if no other
    /// listener has.
    pub fn new(runtime: &Runtime, rules: ListenerRules) -> Result<Listener> {
        let mut listener = Listener {
            runtime: runtime.clone(),
            rules: rules.clone(),
            vad: Vad::open(runtime)?,
            meaning: None,
            high_pass: HighPass::default(),
            gain: Gain::Following(0.0),
            frames: Frames::new(),
            tape: Tape::new(KEPT),
            turns: Turns::new(rules.clone()),
            played: None,
        };
        listener.set_rules(rules)?;
        Ok(listener)
    }

    /// Other rules from here on.
    pub fn set_rules(&mut self, rules: ListenerRules) -> Result<()> {
        if rules.meaning.is_some() && self.meaning.is_none() {
            self.meaning = Some(Meaning::open(&self.runtime)?);
        }
        self.turns.set_rules(rules.clone());
        self.rules = rules;
        Ok(())
    }

    /// Takes samples in. `playing`: what the loudspeaker plays while they were recorded, about, as
    /// many samples; `None` where it plays nothing.
    pub fn hear(&mut self, samples: &[f32], playing: Option<&[f32]>) -> Result<Vec<Heard>> {
        let samples: Vec<f32> = samples.iter().map(|&x| sane(x)).collect();
        let first = self.tape.end() - self.frames.rest() as u64;
        self.tape.push(&samples);
        if playing.is_some_and(|p| p.iter().any(|&x| x != 0.0)) {
            self.played = Some(self.tape.end());
        }
        let frames = self.frames.push(&self.high_pass.run(&samples));
        let mut heard = Vec::new();
        for (i, frame) in (0..).zip(frames.axis_chunks_iter(Axis(0), 1)) {
            heard.extend(self.frame(first + i * FRAME as u64, frame.to_owned())?);
        }
        Ok(heard)
    }

    /// Samples heard.
    pub fn position(&self) -> u64 {
        self.tape.end()
    }

    /// The sound of `span`, as far as it is kept: the last minute.
    pub fn sound(&self, span: Range<u64>) -> Vec<f32> {
        self.tape.sound(span)
    }

    /// The turn under way is over here, or forgotten: listens anew.
    pub fn restart(&mut self) {
        self.turns.restart(self.tape.end());
    }

    /// Listens to the frame [1, CONTEXT + FRAME] whose new samples begin at `at`.
    fn frame(&mut self, at: u64, mut frame: ndarray::Array2<f32>) -> Result<Option<Heard>> {
        let new = frame.slice(s![0, CONTEXT..]);
        frame *= self.gain.next(&new.to_vec());
        let probability = match self.rules.by_hand() {
            true => 0.0,
            false => self
                .vad
                .probabilities(frame.view())?
                .first()
                .copied()
                .unwrap_or(0.0),
        };
        let playing = self.played.is_some_and(|played| at < played + ECHO);
        let (tape, meaning) = (&self.tape, &self.meaning);
        self.turns.push(
            Frame {
                probability,
                playing,
            },
            |ask| match (ask, meaning) {
                (Ask::Speech(_), _) => Ok(true),
                (Ask::Complete(turn), Some(meaning)) => {
                    Ok(meaning.complete(&tape.sound(turn))? >= COMPLETE)
                }
                (Ask::Complete(_), None) => Ok(false),
            },
        )
    }
}

/// A sample that arithmetic survives: a stranger's float may be anything.
fn sane(sample: f32) -> f32 {
    if sample.is_finite() {
        sample.clamp(-8.0, 8.0)
    } else {
        0.0
    }
}
