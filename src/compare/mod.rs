//! Does one model still say what another says: an export, a precision, an encoder window, a provider
//! held against a reference.
//!
//! Both read the same question and go through the answer in lockstep, the candidate made to follow
//! the reference's ids (teacher forcing), so that every step compares like with like. Up to the first
//! step at which their likeliest ids differ that is also what each would say on its own; from there
//! on the candidate's own answer is written too. Greedy throughout. What is in `measure` and `drift`
//! is pure; here are the two models.

mod drift;
mod measure;
mod pass;
mod shape;

use std::sync::{Mutex, PoisonError};

use serde::Serialize;

pub use drift::{Agreement, Divergence, HeadsDrift, LogitsDrift, TeacherForced};
use drift::{StepDrift, Tally, likeliest};
use pass::{Pass, ReadQuestion};
pub use shape::check_shapes;

use crate::ask::{EncoderWindow, Options, Question};
use crate::decoding::delay::Frame;
use crate::decoding::generation::Ended;
use crate::decoding::noise::Noise;
use crate::decoding::task::Task;
use crate::error::{Error, ErrorKind, Result};
use crate::model::manifest::SpecialIds;
use crate::omni::Omni;
use crate::trace::Trace;

/// Frames decoded at once, so that a long answer takes no more memory than a short one.
const CODEC_CHUNK: usize = 16;

/// A model and how it hears.
pub struct Side {
    /// The model.
    pub omni: Omni,
    /// How much its encoder hears.
    pub window: EncoderWindow,
}

/// What is compared with what it is asked.
#[derive(Debug, Clone, Copy)]
pub struct Protocol {
    /// What to do.
    pub task: Task,
    /// Most steps of an answer.
    pub max_steps: usize,
}

/// Two models on one question.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Comparison {
    /// Name of the task.
    pub task: &'static str,
    /// `None` for a written question.
    pub features: Option<FeaturesDrift>,
    /// Logits behind the prompt, before any id is chosen.
    pub prefill: HeadsDrift,
    /// The reference's answer, the candidate made to follow its ids.
    pub teacher_forced: TeacherForced,
    /// `None` where the free-running answers are the same.
    pub divergence: Option<Divergence>,
    /// What the reference says by itself.
    pub reference: Said,
    /// What the candidate says by itself.
    pub candidate: Said,
    /// `None` where nothing was spoken.
    pub pcm: Option<PcmDrift>,
}

/// Audio features [n_features, n_embd] of the two encoders.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FeaturesDrift {
    /// Over all values.
    pub max_difference: f32,
    /// Over all features as one vector.
    pub cosine: f64,
}

/// What a model says by itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Said {
    /// Its text.
    pub text: String,
    /// Steps kept.
    pub steps: usize,
    /// Why it ended.
    pub ended: Ended,
}

/// The reference's ids through both codecs, with the same noise.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PcmDrift {
    /// Of each sound.
    pub samples: usize,
    /// Over all samples.
    pub max_difference: f32,
    /// Decibels; null where the sound is equal to the bit.
    pub snr_db: Option<f64>,
}

/// Compares two models that [`check_shapes`] found comparable. `progress` is told each step's number.
pub fn compare(
    reference: &mut Side,
    candidate: &mut Side,
    question: &Question,
    protocol: Protocol,
    mut progress: impl FnMut(usize),
) -> Result<Comparison> {
    let read = [
        reference.read(question, protocol)?,
        candidate.read(question, protocol)?,
    ];
    if read[0].prepared.prompt != read[1].prepared.prompt {
        return Err(Error::new(
            ErrorKind::NotComparable,
            "the two models make different prompts of this question; their tokenizers or mel settings differ, compare exports of one checkpoint",
        ));
    }
    let steps = read[0].prepared.steps.min(read[1].prepared.steps);
    let ids = reference.omni.manifest.ids.clone();
    let frames = [Mutex::default(), Mutex::default()];
    let passes = [
        reference.pass(&read[0], protocol, steps, &frames[0])?,
        candidate.pass(&read[1], protocol, steps, &frames[1])?,
    ];
    let lockstep = lockstep(passes, &ids, &mut progress)?;
    let said = Said::of(&lockstep.trace);
    let answer = match &lockstep.divergence {
        None => said.clone(),
        Some(_) => candidate.answer(&read[1], protocol, steps)?,
    };
    let [frames, _] = frames;
    let frames = frames.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Comparison {
        task: protocol.task.name(),
        features: features_drift(&read),
        prefill: lockstep.prefill,
        teacher_forced: lockstep.teacher_forced,
        divergence: lockstep.divergence,
        reference: said,
        candidate: answer,
        pcm: pcm_drift(reference, candidate, &frames)?,
    })
}

/// What going through an answer together gives.
struct Lockstep {
    prefill: HeadsDrift,
    teacher_forced: TeacherForced,
    divergence: Option<Divergence>,
    /// The reference's answer.
    trace: Trace,
}

/// Both passes, the second following the first's ids.
fn lockstep(
    passes: [Pass; 2],
    ids: &SpecialIds,
    progress: &mut dyn FnMut(usize),
) -> Result<Lockstep> {
    let [mut leading, mut following] = passes;
    let (mut tally, mut prefill, mut divergence) = (Tally::new(ids.streams()), None, None);
    let mut step_number = 0;
    while let (Some(reference), Some(candidate)) = (leading.look()?, following.look()?) {
        progress(step_number + 1);
        let drift = StepDrift::of(&reference, &candidate, ids);
        let step = likeliest(&reference, ids);
        tally.push(&drift);
        prefill.get_or_insert_with(|| tally.sum().logits);
        divergence = divergence.or_else(|| drift.divergence(step_number));
        following.take(&step);
        leading.take(&step);
        step_number += 1;
    }
    Ok(Lockstep {
        prefill: prefill.unwrap_or_default(),
        teacher_forced: tally.sum(),
        divergence,
        trace: leading.finish()?,
    })
}

impl Side {
    fn options(&self, protocol: Protocol) -> Options {
        Options {
            max_steps: Some(protocol.max_steps),
            window: Some(self.window),
            // Numbers are compared, and the two must hear the same whatever their manifests say.
            answer_anything: true,
            trim: Some(false),
            ..Options::for_task(protocol.task)
        }
    }

    fn read(&mut self, question: &Question, protocol: Protocol) -> Result<ReadQuestion> {
        let options = self.options(protocol);
        ReadQuestion::new(&mut self.omni, question, &options)
    }

    fn pass<'a>(
        &'a mut self,
        read: &ReadQuestion,
        protocol: Protocol,
        steps: usize,
        frames: &'a Mutex<Vec<Frame>>,
    ) -> Result<Pass<'a>> {
        let options = self.options(protocol);
        let omni = &mut self.omni;
        let parts = (&*omni.manifest, &*omni.tokenizer, &mut omni.decoder);
        Pass::start(parts, &options, read, steps, frames)
    }

    /// The model's own answer, without its sound.
    fn answer(&mut self, read: &ReadQuestion, protocol: Protocol, steps: usize) -> Result<Said> {
        let (ids, frames) = (self.omni.manifest.ids.clone(), Mutex::default());
        let mut pass = self.pass(read, protocol, steps, &frames)?;
        while let Some(logits) = pass.look()? {
            let step = likeliest(&logits, &ids);
            pass.take(&step);
        }
        Ok(Said::of(&pass.finish()?))
    }

    fn speak(&mut self, frames: &[Frame]) -> Result<Vec<f32>> {
        let codec = &mut self.omni.codec;
        let mut state = codec.start(Noise::Seeded(0))?;
        let mut pcm = Vec::new();
        for chunk in frames.chunks(CODEC_CHUNK) {
            pcm.extend(codec.decode(&mut state, chunk)?);
        }
        pcm.extend(codec.finish(&mut state)?);
        Ok(pcm)
    }
}

impl Said {
    fn of(trace: &Trace) -> Said {
        Said {
            text: trace.text.clone(),
            steps: trace.tokens.last().map_or(0, Vec::len),
            ended: trace.ended,
        }
    }
}

fn features_drift(read: &[ReadQuestion; 2]) -> Option<FeaturesDrift> {
    let [reference, candidate] = read
        .each_ref()
        .map(|read| read.prepared.features.as_ref()?.as_slice());
    let (reference, candidate) = (reference?, candidate?);
    Some(FeaturesDrift {
        max_difference: measure::max_difference(reference, candidate),
        cosine: measure::cosine(reference, candidate),
    })
}

fn pcm_drift(
    reference: &mut Side,
    candidate: &mut Side,
    frames: &[Frame],
) -> Result<Option<PcmDrift>> {
    if frames.is_empty() {
        return Ok(None);
    }
    let (reference, candidate) = (reference.speak(frames)?, candidate.speak(frames)?);
    Ok(Some(PcmDrift {
        samples: reference.len(),
        max_difference: measure::max_difference(&reference, &candidate),
        snr_db: measure::snr_db(&reference, &candidate),
    }))
}
