//! The record of one answer: what was said, why it ended, how long each part took.
//!
//! Its JSON is what scripts and the accuracy comparison read.

use serde::Serialize;

use crate::turn::{Ended, Step};

/// Milliseconds.
pub type Millis = f64;

/// One answer, as `--trace` writes it.
#[derive(Debug, Clone, Serialize)]
pub struct Trace {
    /// Name of the task.
    pub task: &'static str,
    /// Columns of the prompt, the mark included.
    pub prompt_length: usize,
    /// Kept ids by stream, undelayed: 7 audio streams (empty in a text-only task), then text.
    pub tokens: Vec<Vec<i64>>,
    pub text: String,
    pub ended: Ended,
    /// Codec frames that were decoded.
    pub frames: usize,
    /// Samples of the answer's sound.
    pub pcm_samples: usize,
    pub timings_ms: Timings,
}

/// Where the time went.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Timings {
    /// Opening the model.
    pub load: Millis,
    /// Resampling and mel spectrogram.
    pub mel: Millis,
    pub encoder: Millis,
    pub prefill: Millis,
    /// From the question to the first sound of the answer; null if there was none.
    pub first_audio: Option<Millis>,
    /// Every pass of the decoder after the prefill.
    pub steps: Vec<Millis>,
    /// Codec time in all; most of it runs beside the decoder.
    pub codec: Millis,
    /// From the question to the end of the answer.
    pub total: Millis,
}

impl Trace {
    /// The record of an answer of `streams` streams that has not begun.
    pub(crate) fn new(
        task: &'static str,
        prompt_length: usize,
        streams: usize,
        timings_ms: Timings,
    ) -> Trace {
        Trace {
            task,
            prompt_length,
            tokens: vec![Vec::new(); streams],
            text: String::new(),
            ended: Ended::Limit,
            frames: 0,
            pcm_samples: 0,
            timings_ms,
        }
    }

    pub(crate) fn push(&mut self, step: &Step) {
        let (text, audio) = self
            .tokens
            .split_last_mut()
            .expect("a trace has its text stream");
        for (stream, &id) in audio.iter_mut().zip(&step.audio) {
            stream.push(id);
        }
        text.push(step.text);
    }

    /// Time to write the answer over the time it takes to hear it; `None` without sound.
    pub fn real_time_factor(&self, sample_rate: u32) -> Option<f64> {
        let seconds = self.pcm_samples as f64 / f64::from(sample_rate);
        (self.pcm_samples > 0).then(|| self.timings_ms.total / 1000.0 / seconds)
    }
}
