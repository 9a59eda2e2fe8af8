//! What is asked and how: the words that everything above the graphs speaks.

use std::time::Duration;

use crate::audio::Pcm;
use crate::decoding::generation::ForcedLength;
use crate::decoding::noise::Noise;
use crate::decoding::sampling::SamplingConfig;
use crate::decoding::task::{Source, Task};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Manifest;

/// What is asked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Question {
    /// Speech, mono, any sample rate.
    Audio(Pcm),
    /// Written words.
    Text(String),
}

impl Question {
    /// Speech or text.
    pub fn source(&self) -> Source {
        match self {
            Question::Audio(_) => Source::Audio,
            Question::Text(_) => Source::Text,
        }
    }
}

/// How much of the encoder's window a clip fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncoderWindow {
    /// All of it, padded with silence, as published.
    Full,
    /// All of the clip, and of the silence behind it the few positions that the model's manifest
    /// names, each weighed as those it stands for: a fifth of the work for two seconds of speech.
    Merged,
    /// The clip and a second of silence: several times less work, slightly other features.
    Short,
}

impl EncoderWindow {
    /// Its name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            EncoderWindow::Full => "full",
            EncoderWindow::Merged => "merged",
            EncoderWindow::Short => "short",
        }
    }

    /// The window that was asked for; if none was, the merged one of a model that has a plan for it,
    /// else the full one. The merged one of a model without a plan is an error.
    pub fn of(asked: Option<EncoderWindow>, manifest: &Manifest) -> Result<EncoderWindow> {
        match (asked, &manifest.merged_window) {
            (Some(EncoderWindow::Merged), None) => Err(Error::new(
                ErrorKind::Model,
                format!(
                    "the model {} has no plan for a merged encoder window; export it again with its encoder in int8, or take the full window",
                    manifest.name
                ),
            )),
            (Some(asked), _) => Ok(asked),
            (None, Some(_)) => Ok(EncoderWindow::Merged),
            (None, None) => Ok(EncoderWindow::Full),
        }
    }
}

/// How a question is to be answered.
///
/// ```
/// use mini_omni::{Options, Task};
/// let mut options = Options::for_task(Task::T1T2);
/// options.max_steps = Some(40);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// What to do with the question.
    pub task: Task,
    /// Most steps to keep; the model's own limit where `None`.
    pub max_steps: Option<usize>,
    /// How ids are chosen.
    pub sampling: SamplingConfig,
    /// What the codec adds to the sound.
    pub noise: Noise,
    /// How much the encoder hears; `None`: see [`EncoderWindow::of`].
    pub window: Option<EncoderWindow>,
    /// Whether special tokens in a written question act as such; else they are words like others.
    pub special_tokens: bool,
    /// Whether a spoken question is answered though there is no speech in it: for benchmarks.
    pub answer_anything: bool,
    /// Whether what is no speech at both ends of a spoken question is cut; `None`: as the model's
    /// manifest has it. The original cuts nothing, and a cut clip may get another answer.
    pub trim: Option<bool>,
    /// A length of its own, whatever the model would say: for measuring.
    pub(crate) forced: Option<ForcedLength>,
}

impl Options {
    /// Greedy, seeded noise, as long as the model allows.
    pub fn for_task(task: Task) -> Options {
        Options {
            task,
            max_steps: None,
            sampling: SamplingConfig::greedy(),
            noise: Noise::Seeded(0),
            window: None,
            special_tokens: false,
            answer_anything: false,
            trim: None,
            forced: None,
        }
    }
}

/// A piece of the answer, the moment it exists.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// Whole characters.
    Text(String),
    /// Mono samples at the codec's rate.
    Audio(Vec<f32>),
    /// There is no speech in the question; nothing else follows, and the answer ends as
    /// [`Ended::NoSpeech`](crate::Ended::NoSpeech).
    NoSpeech,
}

/// Milliseconds.
pub type Millis = f64;

/// A duration in milliseconds.
pub(crate) fn millis(duration: Duration) -> Millis {
    duration.as_secs_f64() * 1000.0
}
