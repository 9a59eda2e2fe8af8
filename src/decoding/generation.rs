//! One question and its answer, as a state that takes a step at a time.
//!
//! [`Generation`] knows the rules of feedback and of stopping and nothing of graphs: it says which ids to
//! feed and which heads it needs, takes the logits and returns what the model said. The single
//! conversation and the scheduler of many drive the same state.
//!
//! Rules: every row is fed the chosen text id; the audio row is fed the chosen audio ids, any other
//! row pad_a. The first step is kept without a stop check, each later one is checked first. After
//! eot the text stream is pad_t and no text head is needed; a row that only wrote text leaves.

use serde::{Deserialize, Serialize};

use super::sampling::{Sampler, SamplingConfig};
use super::task::Task;
use crate::model::manifest::SpecialIds;

/// Steps of padding alone after which a text-only task has nothing more to write. A model that
/// times its words to speech pads between them, yet no pause inside a clip of 30 s is as long.
const MOST_PADDING: usize = 128;

/// What the decoder said at one step: 7 audio ids (empty in a text-only task) and 1 text id,
/// undelayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub audio: Vec<i64>,
    pub text: i64,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Ended {
    /// The last audio stream said end of audio.
    Eoa,
    /// The text said end of text, in a text-only task.
    Eot,
    /// The largest number of steps was reached.
    Limit,
    /// A frame held an id that is no code: the audio ends there, the answer with its text.
    BadAudioId,
    /// A text-only task wrote nothing but padding for many steps.
    Padding,
    /// The question holds no speech; nothing was answered.
    NoSpeech,
    /// Nobody wanted the rest.
    Cancelled,
}

impl Ended {
    /// As in traces.
    pub fn name(self) -> &'static str {
        match self {
            Ended::Eoa => "eoa",
            Ended::Eot => "eot",
            Ended::Limit => "limit",
            Ended::BadAudioId => "bad-audio-id",
            Ended::Padding => "padding",
            Ended::NoSpeech => "no-speech",
            Ended::Cancelled => "cancelled",
        }
    }
}

/// An answer of a length that was asked for, whatever the model would say: for measuring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForcedLength {
    /// Steps after which the text says end of text; the answer goes on until its most steps.
    pub text_steps: usize,
}

/// The heads a generation needs at its next step, by its own rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heads {
    pub text_row: Option<usize>,
    pub audio_row: Option<usize>,
}

/// What the heads of one answer say at a step; `None` where a head was not needed.
#[derive(Debug, Clone, Copy)]
pub struct HeadLogits<'l> {
    /// [text vocabulary].
    pub text: Option<&'l [f32]>,
    /// [audio streams × audio vocabulary].
    pub audio: Option<&'l [f32]>,
}

/// What one answer goes on from at a step.
#[derive(Debug, Clone, Copy)]
pub enum Said<'l> {
    /// Logits, to choose from.
    Logits(HeadLogits<'l>),
    /// The likeliest ids, chosen among [`Generation::limits`].
    Ids(HeadIds<'l>),
}

/// The likeliest ids of the heads of one answer; `None` where a head was not needed.
#[derive(Debug, Clone, Copy)]
pub struct HeadIds<'l> {
    pub text: Option<i64>,
    /// [audio streams].
    pub audio: Option<&'l [i64]>,
}

/// What came of a step.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The step is part of the answer.
    Kept(Step),
    /// The step ended the answer and is not part of it.
    Ended(Ended),
}

/// The state of one answer being written.
pub struct Generation {
    task: Task,
    ids: SpecialIds,
    /// One an audio stream.
    audio_samplers: Vec<Sampler>,
    text_sampler: Sampler,
    max_steps: usize,
    forced: Option<ForcedLength>,
    steps: usize,
    text_ended: bool,
    /// Steps in a row whose text was padding.
    padding: usize,
    bad_audio: bool,
    last: Option<Step>,
}

impl Generation {
    /// A generation that will take at most `max_steps` steps, each stream's ids chosen as `sampling`
    /// says.
    pub fn new(
        task: Task,
        ids: &SpecialIds,
        sampling: &SamplingConfig,
        max_steps: usize,
    ) -> Generation {
        let sampler = |stream| Sampler::new(sampling, stream);
        Generation {
            task,
            ids: ids.clone(),
            audio_samplers: (0..ids.audio_streams).map(sampler).collect(),
            text_sampler: sampler(ids.audio_streams),
            max_steps,
            forced: None,
            steps: 0,
            text_ended: false,
            padding: 0,
            bad_audio: false,
            last: None,
        }
    }

    /// The same, of a forced length: no special id is chosen but the one end of text.
    pub fn forced(mut self, forced: Option<ForcedLength>) -> Generation {
        self.forced = forced;
        self
    }

    /// Batch rows the next step feeds. A row that only lends text leaves once the text has ended.
    pub fn rows(&self) -> usize {
        match self.task.audio_row {
            Some(_) if self.text_ended => 1,
            _ => self.task.marks.len(),
        }
    }

    /// The heads the next step needs.
    pub fn heads(&self) -> Heads {
        Heads {
            text_row: (!self.text_ended).then_some(self.task.text_row),
            audio_row: self.task.audio_row,
        }
    }

    /// Steps kept so far.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Whether the answer must end before another step.
    pub fn limit(&self) -> Option<Ended> {
        if self.bad_audio && self.text_ended {
            return Some(Ended::BadAudioId);
        }
        if !self.task.speaks() && self.padding >= MOST_PADDING {
            return Some(Ended::Padding);
        }
        (self.steps >= self.max_steps).then_some(if self.bad_audio {
            Ended::BadAudioId
        } else {
            Ended::Limit
        })
    }

    /// Whether the answer's audio ended before the answer did.
    pub fn audio_has_failed(&self) -> bool {
        self.bad_audio
    }

    /// A frame held an id outside the codebook: the answer's audio ends there.
    pub fn audio_failed(&mut self) {
        self.bad_audio = true;
    }

    /// Writes the ids of the next step for `row` into `column` [streams].
    /// Only to be called once a step was accepted.
    pub fn feed(&self, row: usize, column: &mut [i64]) {
        let Some(last) = &self.last else { return };
        let Some((text, audio)) = column.split_last_mut() else {
            return;
        };
        if self.task.audio_row == Some(row) {
            audio.copy_from_slice(&last.audio);
        } else {
            audio.fill(self.ids.pad_a);
        }
        *text = last.text;
    }

    /// Goes on with a step: one it chose, or another model's that it is made to follow.
    pub fn take(&mut self, step: Step) -> Outcome {
        if self.steps > 0 {
            if let Some(ended) = self.stops(&step) {
                return Outcome::Ended(ended);
            }
            if self.task.speaks() && step.text == self.ids.eot {
                self.text_ended = true;
            }
        }
        self.steps += 1;
        self.padding = match step.text == self.ids.pad_t {
            true => self.padding + 1,
            false => 0,
        };
        self.last = Some(step.clone());
        Outcome::Kept(step)
    }

    /// The ids that may be chosen: so many of the first text ids, and of the first audio ids.
    pub fn limits(&self) -> (usize, usize) {
        // Special ids follow the plain ones; a forced answer chooses among the plain ones.
        match self.forced {
            Some(_) => (self.ids.eot as usize, self.ids.eoa as usize),
            None => (self.ids.text_vocab_size, self.ids.audio_vocab_size),
        }
    }

    /// Whether the likeliest ids are all that it needs.
    pub fn is_greedy(&self) -> bool {
        self.text_sampler.is_greedy()
    }

    /// The step that the heads say that [`Generation::heads`] asked for.
    pub fn choose(&mut self, said: &Said) -> Step {
        let (audio, text) = match said {
            Said::Ids(ids) => (ids.audio.unwrap_or_default().to_vec(), ids.text),
            Said::Logits(logits) => self.sample(logits),
        };
        let text = match (text, self.forced) {
            (Some(_), Some(forced)) if self.steps >= forced.text_steps => self.ids.eot,
            (Some(text), _) => text,
            (None, _) => self.ids.pad_t,
        };
        Step { audio, text }
    }

    fn sample(&mut self, logits: &HeadLogits) -> (Vec<i64>, Option<i64>) {
        let (words, codes) = self.limits();
        let audio = logits.audio.map_or_else(Vec::new, |logits| {
            self.audio_samplers
                .iter_mut()
                .zip(logits.chunks_exact(self.ids.audio_vocab_size))
                .map(|(sampler, logits)| sampler.sample(&logits[..codes]) as i64)
                .collect()
        });
        let sampler = &mut self.text_sampler;
        let text = logits
            .text
            .map(|logits| sampler.sample(&logits[..words]) as i64);
        (audio, text)
    }

    fn stops(&self, step: &Step) -> Option<Ended> {
        match self.task.audio_row {
            Some(_) => (step.audio.last() == Some(&self.ids.eoa)).then_some(if self.bad_audio {
                Ended::BadAudioId
            } else {
                Ended::Eoa
            }),
            None => (step.text == self.ids.eot).then_some(Ended::Eot),
        }
    }
}

#[cfg(test)]
mod tests;
