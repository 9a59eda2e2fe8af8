//! The record of one answer: what was said, why it ended, how long each part took.
//!
//! Its JSON is what scripts and the accuracy comparison read (`docs/schemas/trace.schema.json`).

use serde::Serialize;

use crate::ask::Millis;
use crate::decoding::generation::{Ended, Step};

/// One answer, as `--trace` writes it.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Trace {
    /// Name of the task.
    pub task: &'static str,
    /// Columns of the prompt, the mark included; 0 if it was never made.
    pub prompt_length: usize,
    /// Kept ids by stream, undelayed: 7 audio streams (empty in a text-only task), then text.
    pub tokens: Vec<Vec<i64>>,
    /// The answer's text.
    pub text: String,
    /// Why it ended.
    pub ended: Ended,
    /// Whether its last steps say the same few text ids over and over, as a model does that is lost.
    pub repeats: bool,
    /// Codec frames whose samples were handed over.
    pub frames: usize,
    /// Samples of the answer's sound that were handed over.
    pub pcm_samples: usize,
    /// Where the time went.
    pub timings_ms: Timings,
}

/// Where the time went, milliseconds.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct Timings {
    /// Opening the model.
    pub load: Millis,
    /// Looking for speech in the question.
    pub hearing: Millis,
    /// Resampling and mel spectrogram.
    pub mel: Millis,
    /// The encoder.
    pub encoder: Millis,
    /// Reading the prompt.
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

/// Steps at the end of an answer that are looked at for repetition.
const REPEATED_STEPS: usize = 64;
/// Longest period of text ids that counts as repetition.
const LONGEST_PERIOD: usize = 16;

impl Trace {
    /// The record of an answer of `streams` streams that has not begun.
    pub(crate) fn new(task: &'static str, prompt_length: usize, streams: usize) -> Trace {
        Trace {
            task,
            prompt_length,
            tokens: vec![Vec::new(); streams],
            text: String::new(),
            ended: Ended::Cancelled,
            repeats: false,
            frames: 0,
            pcm_samples: 0,
            timings_ms: Timings::default(),
        }
    }

    pub(crate) fn push(&mut self, step: &Step) {
        let Some((text, audio)) = self.tokens.split_last_mut() else {
            return;
        };
        for (stream, &id) in audio.iter_mut().zip(&step.audio) {
            stream.push(id);
        }
        text.push(step.text);
    }

    /// Looks whether the last text ids are a few, said over and over. An answer that ended by itself
    /// does not repeat itself, nor does one that was silent (`padding`) to the limit.
    pub(crate) fn find_repetition(&mut self, padding: i64) {
        let text = self.tokens.last().map_or(&[][..], Vec::as_slice);
        let last = &text[text.len().saturating_sub(REPEATED_STEPS)..];
        self.repeats = self.ended == Ended::Limit
            && last.len() == REPEATED_STEPS
            && last.iter().any(|&id| id != padding)
            && (1..=LONGEST_PERIOD).any(|period| last[period..] == last[..last.len() - period]);
    }

    /// Time to write the answer over the time it takes to hear it; `None` without sound.
    /// `sample_rate`: the codec's, Hz.
    pub fn real_time_factor(&self, sample_rate: u32) -> Option<f64> {
        let seconds = self.pcm_samples as f64 / f64::from(sample_rate);
        (self.pcm_samples > 0).then(|| self.timings_ms.total / 1000.0 / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PADDING: i64 = 99;

    fn repeats(ended: Ended, text: impl Iterator<Item = i64>) -> bool {
        let mut trace = Trace::new("t1t2", 5, 8);
        trace.tokens[7] = text.collect();
        trace.ended = ended;
        trace.find_repetition(PADDING);
        trace.repeats
    }

    #[test]
    fn an_answer_that_goes_round_in_circles_to_its_limit_is_known() {
        let circle = || (0..30).chain((0..70).map(|i| i % 7));
        assert!(repeats(Ended::Limit, circle()));
        assert!(!repeats(Ended::Eot, circle()));
        assert!(!repeats(Ended::Limit, 0..200));
        assert!(
            !repeats(Ended::Limit, (0..40).map(|i| i % 7)),
            "too short to tell"
        );
        assert!(!repeats(Ended::Limit, std::iter::repeat_n(PADDING, 100)));
    }
}
