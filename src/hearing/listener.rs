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

/// Follows a microphone at 16 kHz. It keeps the sound of the turn under way.
pub(crate) struct Listener {}

impl Listener {
    pub fn new(runtime: &Runtime, rules: ListenerRules) -> Result<Listener> {
        let _ = (runtime, rules);
        todo!()
    }

    /// Other rules from here on.
    pub fn set_rules(&mut self, rules: ListenerRules) {
        let _ = rules;
        todo!()
    }

    /// Takes samples in. `playing`: what the loudspeaker plays while they were recorded, about, as
    /// many samples; `None` where it plays nothing.
    pub fn hear(&mut self, samples: &[f32], playing: Option<&[f32]>) -> Result<Vec<Heard>> {
        let _ = (samples, playing);
        todo!()
    }

    /// Samples heard.
    pub fn position(&self) -> u64 {
        todo!()
    }

    /// The sound of `span`, as far as it is kept: the turn under way, or the last one.
    pub fn sound(&self, span: Range<u64>) -> Vec<f32> {
        let _ = span;
        todo!()
    }

    /// The turn under way is over here, or forgotten: listens anew.
    pub fn restart(&mut self) {
        todo!()
    }
}
