//! Sound that is still coming to turns: who speaks, since when, and whether they are done.

use std::ops::Range;

use crate::error::Result;
use crate::graph::Runtime;

/// What a listener has heard. Positions are samples at 16 kHz since the first.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Heard {
    /// Speech began; the pre-roll is included.
    Start { at: u64 },
    /// It has paused: the turn may be over. `speech` is what its question would be now.
    Pause { speech: Range<u64> },
    /// It goes on behind a pause.
    Resume,
    /// The turn is over. `silent_since`: where the voice itself ended, without any padding.
    End {
        speech: Range<u64>,
        silent_since: u64,
    },
    /// Somebody may be speaking into the answer that is being played.
    Overlap,
    /// It was a murmur, a noise or the answer's own echo.
    OverlapOver,
    /// Somebody speaks into the answer: a turn that began at `at` and goes on like one behind `Start`.
    Interruption { at: u64 },
}

/// When speech begins and ends.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ListenerRules {
    /// Probability from which a frame is speech.
    pub threshold: f32,
    /// Milliseconds before the first speech that belong to it.
    pub pre_roll: usize,
    /// Pause that ends a turn, ms; `None`: the owner ends it.
    pub pause: Option<usize>,
    /// By meaning: the longest pause that is waited for, ms.
    pub meaning: Option<usize>,
    /// Pause behind which [`Heard::Pause`] is told, ms.
    pub speculate: Option<usize>,
    /// Speech into an answer shorter than this is no interruption, ms.
    pub least_interruption: usize,
}

/// Follows a microphone at 16 kHz. Stand-in until the branch `ears` brings the whole one: it ends
/// turns by pauses alone, and knows no overlap.
pub(crate) struct Listener {
    rules: ListenerRules,
    vad: crate::graph::Vad,
    detector: super::Detector,
    sound: Vec<f32>,
    start: Option<u64>,
    voice_end: u64,
    paused: bool,
}

impl Listener {
    pub fn new(runtime: &Runtime, rules: ListenerRules) -> Result<Listener> {
        Ok(Listener {
            rules,
            vad: crate::graph::Vad::open(runtime)?,
            detector: super::Detector::new(super::Rules::turn(96)),
            sound: Vec::new(),
            start: None,
            voice_end: 0,
            paused: false,
        })
    }

    /// Other rules from here on.
    pub fn set_rules(&mut self, rules: ListenerRules) -> Result<()> {
        self.rules = rules;
        Ok(())
    }

    /// Takes samples in. `playing`: what the loudspeaker plays while they were recorded, about, as
    /// many samples; `None` where it plays nothing.
    pub fn hear(&mut self, samples: &[f32], playing: Option<&[f32]>) -> Result<Vec<Heard>> {
        self.sound.extend(samples);
        let mut heard = Vec::new();
        let Some(pause) = self.rules.pause.or(self.rules.meaning) else {
            return Ok(heard);
        };
        let vad = &mut self.vad;
        for edge in self.detector.push(samples, |frames| vad.probabilities(frames))? {
            match (edge, self.start) {
                (super::Heard::Start(at), None) => {
                    let at = at as u64;
                    self.start = Some(at);
                    heard.push(match playing {
                        Some(_) => Heard::Interruption { at },
                        None => Heard::Start { at },
                    });
                }
                (super::Heard::Start(_), Some(_)) => {
                    if std::mem::take(&mut self.paused) {
                        heard.push(Heard::Resume);
                    }
                    self.voice_end = 0;
                }
                (super::Heard::End(at), _) => self.voice_end = at as u64 - 4800,
            }
        }
        if let Some(start) = self.start.filter(|_| self.voice_end > 0) {
            let silent_since = self.voice_end;
            let speech = start..(silent_since + 4800).min(self.position());
            let silent = (self.position() - silent_since) as usize / 16;
            if silent >= pause {
                heard.push(Heard::End { speech, silent_since });
                self.start = None;
                self.voice_end = 0;
                self.paused = false;
            } else if !self.paused && self.rules.speculate.is_some_and(|ms| silent >= ms) {
                self.paused = true;
                heard.push(Heard::Pause { speech });
            }
        }
        Ok(heard)
    }

    /// Samples heard.
    pub fn position(&self) -> u64 {
        self.sound.len() as u64
    }

    /// The sound of `span`, as far as it is kept: the last minute.
    pub fn sound(&self, span: Range<u64>) -> Vec<f32> {
        let end = span.end.min(self.position());
        self.sound[span.start.min(end) as usize..end as usize].to_vec()
    }

    /// The turn under way is over here, or forgotten: listens anew.
    pub fn restart(&mut self) {
        self.start = None;
        self.voice_end = 0;
        self.paused = false;
    }
}
