//! What two models say at the same step, both having read the same ids.

use serde::Serialize;

use super::measure::{Energy, kl_nats, max_difference};
use crate::decoding::generation::{HeadLogits, Step};
use crate::decoding::sampling::{all_finite, argmax};
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

/// Stands for the id of a stream that says none: its logits are no numbers, or its answer is over.
pub(crate) const NO_ID: i64 = -1;

/// One stream at one step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamDrift {
    /// Audio streams from 0, the text stream last.
    pub stream: usize,
    /// The likeliest ids, or [`NO_ID`].
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
    /// The first stream whose logits are no finite numbers, and whose they are.
    pub not_finite: Option<String>,
}

impl StepDrift {
    /// Of what the reference says and the candidate's logits.
    pub fn of(reference: &Look, candidate: &HeadLogits, ids: &SpecialIds) -> StepDrift {
        let mut known = vec![None; ids.streams()];
        for (stream, logits) in by_stream(&reference.logits, ids) {
            known[stream] = Some(logits);
        }
        let (mut streams, mut energy) = (Vec::with_capacity(ids.streams()), Energy::default());
        let mut not_finite = None;
        for (stream, logits) in by_stream(candidate, ids) {
            let Some(said) = reference.ids[stream] else {
                continue;
            };
            if let Some(known) = known[stream] {
                energy.add(known, logits);
            }
            let drift = StreamDrift::of(stream, said, known[stream], logits);
            let who = drift.without_id();
            not_finite = not_finite.or(who.map(|who| format!("stream {stream} of the {who}")));
            streams.push(drift);
        }
        StepDrift {
            streams,
            energy,
            not_finite,
        }
    }

    /// Of what the reference says where the candidate's answer is over.
    pub fn unanswered(reference: &Look) -> StepDrift {
        let said = reference.ids.iter().enumerate();
        let streams = said.filter_map(|(stream, id)| {
            Some(StreamDrift {
                stream,
                reference: (*id)?,
                candidate: NO_ID,
                logits: None,
            })
        });
        StepDrift {
            streams: streams.collect(),
            energy: Energy::default(),
            not_finite: None,
        }
    }

    /// Where the two part at this step, if they do: of several streams the one the reference is
    /// surest of.
    pub fn divergence(&self, step: usize) -> Option<Divergence> {
        let differing = self.streams.iter().filter(|s| !s.agrees());
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
        let id = |logits: &[f32], id: i64| if all_finite(logits) { id } else { NO_ID };
        StreamDrift {
            stream,
            reference: reference.map_or(said, |logits| id(logits, said)),
            candidate: id(candidate, other as i64),
            logits: reference.map(apart),
        }
    }

    /// Whether both say the same id.
    pub fn agrees(&self) -> bool {
        self.reference == self.candidate && self.candidate != NO_ID
    }

    /// Which side says no id, the reference first.
    fn without_id(&self) -> Option<&'static str> {
        let sides = [("reference", self.reference), ("candidate", self.candidate)];
        sides
            .into_iter()
            .find(|(_, id)| *id == NO_ID)
            .map(|(side, _)| side)
    }
}

/// Where two answers part when each model follows its own ids.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Divergence {
    /// Counted from 0; the ids of all steps before it are the same.
    pub step: usize,
    /// Audio streams from 0, the text stream last.
    pub stream: usize,
    /// The id that the reference says; -1 where its logits are no finite numbers.
    pub reference: i64,
    /// The id that the candidate says; -1 where its logits are no finite numbers, or its answer is over.
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
    fn what_is_no_number_says_no_id_on_either_side() {
        let (whole, broken) = ([0.0, 1.0, 0.0, 2.0, 0.0, 0.0], [f32::NAN; 6]);
        for (reference, candidate, who) in [
            (whole, broken, "stream 0 of the candidate"),
            (broken, whole, "stream 0 of the reference"),
            (broken, broken, "stream 0 of the reference"),
        ] {
            let drift = drift(reference, candidate, None);
            assert!(drift.streams.iter().all(|stream| !stream.agrees()));
            assert_eq!(drift.not_finite.as_deref(), Some(who));
            assert!(drift.divergence(0).is_some() && drift.energy.error().is_nan());
        }
        assert_eq!(drift(whole, whole, None).not_finite, None);
    }

    #[test]
    fn an_answer_that_is_over_agrees_with_nothing() {
        let audio = [0.0, 1.0, 0.0, 2.0, 0.0, 0.0];
        let drift = StepDrift::unanswered(&Look::at(logits(&audio, None), &ids()));
        let divergence = drift.divergence(3).expect("one has ended");
        assert_eq!((divergence.step, divergence.candidate), (3, NO_ID));
        assert_eq!(drift.streams.len(), 2, "the text head was not needed");
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
