//! What two models' logits say of each other, step by step: of the same step, and summed up.

use serde::Serialize;

use super::measure::{kl_nats, larger, max_difference};
use crate::decoding::generation::{HeadLogits, Step};
use crate::decoding::sampling::argmax;
use crate::model::manifest::SpecialIds;

/// The likeliest id of every stream; padding where no text is written.
pub(crate) fn likeliest(logits: &HeadLogits, ids: &SpecialIds) -> Step {
    let streams = logits.audio.unwrap_or_default();
    let audio = streams.chunks_exact(ids.audio_vocab_size);
    Step {
        audio: audio.map(|logits| argmax(logits) as i64).collect(),
        text: logits
            .text
            .map_or(ids.pad_t, |logits| argmax(logits) as i64),
    }
}

/// One stream at one step, both models having read the same ids.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamDrift {
    /// Audio streams from 0, the text stream last.
    stream: usize,
    /// The likeliest ids.
    reference: i64,
    candidate: i64,
    /// By how much the reference's logits prefer its own choice to the candidate's.
    margin: f32,
    max_difference: f32,
    kl_nats: f64,
}

/// All streams whose heads were needed at a step.
pub(crate) struct StepDrift {
    streams: Vec<StreamDrift>,
    /// The text stream's number.
    text: usize,
}

impl StepDrift {
    /// Of two models' logits. Heads are needed by both or by neither: they follow the same ids.
    pub fn of(reference: &HeadLogits, candidate: &HeadLogits, ids: &SpecialIds) -> StepDrift {
        let mut streams = Vec::with_capacity(ids.streams());
        if let (Some(reference), Some(candidate)) = (reference.audio, candidate.audio) {
            let size = ids.audio_vocab_size;
            let pairs = reference
                .chunks_exact(size)
                .zip(candidate.chunks_exact(size));
            streams.extend(
                pairs
                    .enumerate()
                    .map(|(i, (a, b))| StreamDrift::of(i, a, b)),
            );
        }
        if let (Some(reference), Some(candidate)) = (reference.text, candidate.text) {
            streams.push(StreamDrift::of(ids.audio_streams, reference, candidate));
        }
        StepDrift {
            streams,
            text: ids.audio_streams,
        }
    }

    /// Where the two part at this step, if they do: of several streams the one the reference is
    /// surest of.
    pub fn divergence(&self, step: usize) -> Option<Divergence> {
        let differing = self.streams.iter().filter(|s| s.reference != s.candidate);
        let surest = differing.max_by(|a, b| a.margin.total_cmp(&b.margin))?;
        Some(Divergence {
            step,
            stream: surest.stream,
            reference: surest.reference,
            candidate: surest.candidate,
            margin: surest.margin,
        })
    }
}

impl StreamDrift {
    fn of(stream: usize, reference: &[f32], candidate: &[f32]) -> StreamDrift {
        let (said, other) = (argmax(reference), argmax(candidate));
        StreamDrift {
            stream,
            reference: said as i64,
            candidate: other as i64,
            margin: reference[said] - reference[other],
            max_difference: max_difference(reference, candidate),
            kl_nats: kl_nats(reference, candidate),
        }
    }
}

/// Where two answers part when each model follows its own ids.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Divergence {
    /// Counted from 0; the ids of all steps before it are the same.
    pub step: usize,
    /// Audio streams from 0, the text stream last.
    pub stream: usize,
    /// The id that the reference says.
    pub reference: i64,
    /// The id that the candidate says.
    pub candidate: i64,
    /// By how much the reference's logits prefer its own choice to the candidate's: small means it
    /// was close.
    pub margin: f32,
}

/// How often the candidate's likeliest id is the reference's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Agreement {
    /// Ids that are the same.
    pub agreed: usize,
    /// Ids compared.
    pub of: usize,
}

impl Agreement {
    /// Between 0 and 1; 1 of nothing.
    pub fn share(self) -> f64 {
        if self.of == 0 {
            return 1.0;
        }
        self.agreed as f64 / self.of as f64
    }

    /// Both together.
    pub fn and(self, other: Agreement) -> Agreement {
        Agreement {
            agreed: self.agreed + other.agreed,
            of: self.of + other.of,
        }
    }
}

/// Logits of one kind of stream, over all steps and streams they were computed for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct LogitsDrift {
    /// Over all logits.
    pub max_difference: f32,
    /// Mean over steps and streams.
    pub kl_nats: f64,
}

/// Logits of both kinds of stream; `None` where the task has no such head.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct HeadsDrift {
    /// The text stream.
    pub text: Option<LogitsDrift>,
    /// The audio streams.
    pub audio: Option<LogitsDrift>,
}

/// Steps of one answer, the candidate made to follow the reference's ids.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TeacherForced {
    /// Passes compared, the one that ended the answer included.
    pub steps: usize,
    /// One a stream, the text stream last; none of none where a task lacks the stream.
    pub streams: Vec<Agreement>,
    /// Over all passes.
    pub logits: HeadsDrift,
}

/// Adds up steps.
pub(crate) struct Tally {
    steps: usize,
    streams: Vec<Agreement>,
    max_difference: [f32; 2],
    kl_nats: [f64; 2],
}

impl Tally {
    /// Of no step yet; `streams` with the text stream.
    pub fn new(streams: usize) -> Tally {
        Tally {
            steps: 0,
            streams: vec![Agreement::default(); streams],
            max_difference: [0.0; 2],
            kl_nats: [0.0; 2],
        }
    }

    pub fn push(&mut self, step: &StepDrift) {
        self.steps += 1;
        for drift in &step.streams {
            let kind = usize::from(drift.stream == step.text);
            self.max_difference[kind] = larger(self.max_difference[kind], drift.max_difference);
            self.kl_nats[kind] += drift.kl_nats;
            let agreement = &mut self.streams[drift.stream];
            agreement.agreed += usize::from(drift.reference == drift.candidate);
            agreement.of += 1;
        }
    }

    /// The sum so far.
    pub fn sum(&self) -> TeacherForced {
        let text = self.streams.len() - 1;
        TeacherForced {
            steps: self.steps,
            streams: self.streams.clone(),
            logits: HeadsDrift {
                audio: self.logits(0, &self.streams[..text]),
                text: self.logits(1, &self.streams[text..]),
            },
        }
    }

    fn logits(&self, kind: usize, streams: &[Agreement]) -> Option<LogitsDrift> {
        let n: usize = streams.iter().map(|agreement| agreement.of).sum();
        (n > 0).then(|| LogitsDrift {
            max_difference: self.max_difference[kind],
            kl_nats: self.kl_nats[kind] / n as f64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> SpecialIds {
        SpecialIds {
            audio_streams: 2,
            text_vocab_size: 4,
            audio_vocab_size: 3,
            eot: 0,
            pad_t: 3,
            input_t: 0,
            answer_t: 0,
            asr: 0,
            eoa: 0,
            pad_a: 0,
            input_a: 0,
            answer_a: 0,
            split: 0,
        }
    }

    fn logits<'a>(audio: &'a [f32; 6], text: Option<&'a [f32; 4]>) -> HeadLogits<'a> {
        HeadLogits {
            audio: Some(audio),
            text: text.map(|logits| &logits[..]),
        }
    }

    fn drift(reference: [f32; 6], candidate: [f32; 6], text: Option<[f32; 4]>) -> StepDrift {
        let text = text.as_ref();
        StepDrift::of(&logits(&reference, text), &logits(&candidate, text), &ids())
    }

    #[test]
    fn the_likeliest_ids_make_a_step() {
        let audio = [0.0, 1.0, 0.0, 2.0, 0.0, 0.0];
        let step = likeliest(&logits(&audio, Some(&[0.0, 0.0, 1.0, 0.0])), &ids());
        assert_eq!((step.audio, step.text), (vec![1, 0], 2));
        let silent = likeliest(&logits(&audio, None), &ids());
        assert_eq!(silent.text, 3, "padding where no text is written");
    }

    #[test]
    fn the_surest_of_several_streams_says_where_two_part() {
        let same = [0.0, 1.0, 0.0, 2.0, 0.0, 0.0];
        let other = [3.0, 1.0, 0.0, 0.0, 0.0, 5.0];
        assert_eq!(drift(same, same, Some([0.0; 4])).divergence(0), None);
        let parted = drift(same, other, None);
        let divergence = parted.divergence(7).expect("they differ");
        assert_eq!(
            divergence,
            Divergence {
                step: 7,
                stream: 1,
                reference: 0,
                candidate: 2,
                margin: 2.0
            },
            "both streams differ"
        );
    }

    #[test]
    fn steps_add_up_by_stream() {
        let (a, b) = (
            [0.0, 1.0, 0.0, 2.0, 0.0, 0.0],
            [0.0, 1.0, 0.0, 0.0, 0.0, 2.5],
        );
        let mut tally = Tally::new(3);
        tally.push(&drift(a, a, Some([0.0, 0.0, 1.0, 0.0])));
        tally.push(&drift(a, b, None));
        let forced = tally.sum();
        let counts: Vec<_> = forced.streams.iter().map(|s| (s.agreed, s.of)).collect();
        assert_eq!((forced.steps, counts), (2, vec![(2, 2), (1, 2), (1, 1)]));
        let audio = forced.logits.audio.expect("audio");
        assert_eq!(audio.max_difference, 2.5);
        assert!(audio.kl_nats > 0.0);
        assert_eq!(forced.logits.text, Some(LogitsDrift::default()));
    }
}
