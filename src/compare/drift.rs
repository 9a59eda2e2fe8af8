//! What two models say at the same step, both having read the same ids.

use serde::Serialize;

use super::measure::{Energy, kl_nats, max_difference};
use crate::decoding::generation::{HeadLogits, Step};
use crate::decoding::sampling::argmax;
use crate::model::manifest::SpecialIds;

/// What the reference says at a step.
pub(crate) struct Look<'l> {
    /// The likeliest id of each stream, audio first, text last; `None` where no head was needed.
    pub ids: Vec<Option<i64>>,
    /// As far as they are known: a recording has those of some steps.
    pub logits: HeadLogits<'l>,
}

impl<'l> Look<'l> {
    /// At a model's logits.
    pub fn at(logits: HeadLogits<'l>, ids: &SpecialIds) -> Look<'l> {
        let mut likeliest = vec![None; ids.streams()];
        for (stream, logits) in by_stream(&logits, ids) {
            likeliest[stream] = Some(argmax(logits) as i64);
        }
        Look {
            ids: likeliest,
            logits,
        }
    }

    /// The ids to go on with; padding where no text is written.
    pub fn step(&self, ids: &SpecialIds) -> Step {
        Step {
            audio: self.ids[..ids.audio_streams]
                .iter()
                .flatten()
                .copied()
                .collect(),
            text: self.ids[ids.audio_streams].unwrap_or(ids.pad_t),
        }
    }
}

/// The logits of each stream that has any, audio first, text last.
fn by_stream<'l>(
    logits: &HeadLogits<'l>,
    ids: &SpecialIds,
) -> impl Iterator<Item = (usize, &'l [f32])> {
    let audio = logits.audio.unwrap_or_default();
    let audio = audio.chunks_exact(ids.audio_vocab_size).enumerate();
    audio.chain(logits.text.map(|text| (ids.audio_streams, text)))
}

/// One stream at one step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamDrift {
    /// Audio streams from 0, the text stream last.
    pub stream: usize,
    /// The likeliest ids.
    pub reference: i64,
    pub candidate: i64,
    /// `None` where the reference's logits are not known.
    pub logits: Option<LogitsApart>,
}

/// How far the logits of one stream at one step are apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogitsApart {
    /// By how much the reference's logits prefer its own choice to the candidate's.
    margin: f32,
    pub max_difference: f32,
    pub kl_nats: f64,
}

/// All streams whose heads both have computed at a step.
pub(crate) struct StepDrift {
    pub streams: Vec<StreamDrift>,
    /// Of all logits that both have.
    pub energy: Energy,
}

impl StepDrift {
    /// Of what the reference says and the candidate's logits.
    pub fn of(reference: &Look, candidate: &HeadLogits, ids: &SpecialIds) -> StepDrift {
        let mut known = vec![None; ids.streams()];
        for (stream, logits) in by_stream(&reference.logits, ids) {
            known[stream] = Some(logits);
        }
        let (mut streams, mut energy) = (Vec::with_capacity(ids.streams()), Energy::default());
        for (stream, logits) in by_stream(candidate, ids) {
            let Some(said) = reference.ids[stream] else {
                continue;
            };
            if let Some(known) = known[stream] {
                energy.add(known, logits);
            }
            streams.push(StreamDrift::of(stream, said, known[stream], logits));
        }
        StepDrift { streams, energy }
    }

    /// Where the two part at this step, if they do: of several streams the one the reference is
    /// surest of.
    pub fn divergence(&self, step: usize) -> Option<Divergence> {
        let differing = self.streams.iter().filter(|s| s.reference != s.candidate);
        let margin = |s: &StreamDrift| s.logits.map(|logits| logits.margin);
        let sure = |s: &StreamDrift| margin(s).unwrap_or(f32::NEG_INFINITY);
        let surest = differing.max_by(|a, b| sure(a).total_cmp(&sure(b)))?;
        Some(Divergence {
            step,
            stream: surest.stream,
            reference: surest.reference,
            candidate: surest.candidate,
            margin: margin(surest),
        })
    }
}

impl StreamDrift {
    /// `said`: the reference's id.
    fn of(stream: usize, said: i64, reference: Option<&[f32]>, candidate: &[f32]) -> StreamDrift {
        let other = argmax(candidate);
        let apart = |reference: &[f32]| LogitsApart {
            margin: reference.get(said as usize).unwrap_or(&f32::NAN) - reference[other],
            max_difference: max_difference(reference, candidate),
            kl_nats: kl_nats(reference, candidate),
        };
        StreamDrift {
            stream,
            reference: said,
            candidate: other as i64,
            logits: reference.map(apart),
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
    /// was close. `None` where a recording does not have the logits of the step.
    pub margin: Option<f32>,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn ids() -> SpecialIds {
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

    pub fn drift(reference: [f32; 6], candidate: [f32; 6], text: Option<[f32; 4]>) -> StepDrift {
        let text = text.as_ref();
        let look = Look::at(logits(&reference, text), &ids());
        StepDrift::of(&look, &logits(&candidate, text), &ids())
    }

    #[test]
    fn the_likeliest_ids_make_a_step() {
        let audio = [0.0, 1.0, 0.0, 2.0, 0.0, 0.0];
        let step = Look::at(logits(&audio, Some(&[0.0, 0.0, 1.0, 0.0])), &ids()).step(&ids());
        assert_eq!((step.audio, step.text), (vec![1, 0], 2));
        let silent = Look::at(logits(&audio, None), &ids()).step(&ids());
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
                margin: Some(2.0)
            },
            "both streams differ"
        );
    }

    #[test]
    fn ids_are_compared_where_no_logits_are_known() {
        let look = Look {
            ids: vec![Some(1), Some(0), None],
            logits: HeadLogits {
                text: None,
                audio: None,
            },
        };
        let candidate = [0.0, 1.0, 0.0, 0.0, 2.0, 0.0];
        let drift = StepDrift::of(&look, &logits(&candidate, None), &ids());
        assert_eq!(drift.streams.len(), 2);
        assert!(drift.streams.iter().all(|s| s.logits.is_none()));
        let divergence = drift.divergence(0).expect("the second stream differs");
        assert_eq!((divergence.stream, divergence.margin), (1, None));
    }
}
