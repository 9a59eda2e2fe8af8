//! Does one model still say what another says: an export, a precision, an encoder window, a provider
//! held against a reference, or against what a reference was recorded to say.
//!
//! Both read the same question and go through the answer in lockstep, the candidate made to follow
//! the reference's ids (teacher forcing), so that every step compares like with like. Up to the first
//! step at which their likeliest ids differ that is also what each would say on its own; from there
//! on the candidate's own answer is written too. Greedy throughout. What is in `measure`, `spectrum`,
//! `drift`, `tally`, `stage` and `around` is pure; `side` and `pass` drive a model, `leading` the reference,
//! `recording` keeps what a reference said, `locate` goes inside a graph, by what `matching` tells of two.

mod around;
mod drift;
mod leading;
mod locate;
mod matching;
mod measure;
mod pass;
mod recording;
mod shape;
mod side;
mod spectrum;
mod stage;
mod tally;

use ndarray::Array2;
use serde::Serialize;

use around::{features_drift, frames_drift, stages_before};
pub use drift::Divergence;
use drift::StepDrift;
use leading::Leading;
pub use locate::{Located, locate};
pub use measure::Spread;
pub use recording::{Entry, FORMAT_VERSION as RECORDING_VERSION, Model, Recorded, Recording};
pub use shape::check_shapes;
use side::{KeptFrames, taken};
pub use side::{Said, Side};
use spectrum::log_spectral_distance_db;
pub use spectrum::{FLOOR_DB, spectrogram};
pub use stage::{Stage, StageDrift, first_fault};
use tally::Tally;
pub use tally::{
    Agreement, HeadsDrift, LogitsDrift, StreamFigures, StreamStep, StreamSteps, TeacherForced,
};

use crate::ask::Question;
use crate::decoding::delay::Frame;
use crate::decoding::prompt::Prompt;
use crate::decoding::task::Task;
use crate::error::Result;
use crate::model::manifest::Manifest;

/// What is compared with what it is asked.
#[derive(Debug, Clone, Copy)]
pub struct Protocol {
    /// What to do.
    pub task: Task,
    /// Most steps of an answer.
    pub max_steps: usize,
}

/// A model against a reference, on one question.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Comparison {
    /// Name of the task.
    pub task: &'static str,
    /// Stage by stage, in the order in which the question comes by.
    pub stages: Vec<StageDrift>,
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
    /// What was spoken, to listen to.
    #[serde(skip)]
    pub sounds: Option<Sounds>,
}

/// Audio features [n_features, n_embd] of both.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FeaturesDrift {
    /// Of two numbers.
    pub max_difference: f32,
    /// Of all features as one vector.
    pub cosine: f64,
}

/// Sound of both.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PcmDrift {
    /// The reference's ids through both codecs: samples of each, and how they differ.
    pub samples: usize,
    /// Of two samples.
    pub max_difference: f32,
    /// Signal to difference; `None` where there is none.
    pub snr_db: Option<f64>,
    /// Between both as they are heard.
    pub log_spectral_distance_db: f64,
    /// Each model's own answer through its own codec.
    pub own: OwnSound,
}

/// Each model's own answer, which may be of other words and another length.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct OwnSound {
    /// Of the reference's answer.
    pub reference_seconds: f64,
    /// Of the candidate's answer.
    pub candidate_seconds: f64,
    /// Over the time that both last.
    pub log_spectral_distance_db: f64,
}

/// Samples at the codec's rate.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Sounds {
    /// The reference's answer.
    pub reference: Vec<f32>,
    /// The same ids through the candidate's codec.
    pub candidate_codec: Vec<f32>,
    /// The candidate's own answer.
    pub candidate: Vec<f32>,
}

/// Compares two models on one question; `progress` hears of each step.
pub fn compare(
    reference: &mut Side,
    candidate: &mut Side,
    question: &Question,
    protocol: Protocol,
    progress: impl FnMut(usize),
) -> Result<Comparison> {
    let manifest = reference.omni.manifest.clone();
    check_shapes(&manifest, &candidate.omni.manifest)?;
    let (read, kept) = (reference.read(question, protocol)?, KeptFrames::default());
    let known = Known {
        manifest: &manifest,
        prompt: &read.prepared.prompt,
        mel: read.mel.as_ref(),
        features: read.features.as_ref(),
        steps: read.prepared.steps,
    };
    let pass = reference.pass(&read, protocol, known.steps, &kept)?;
    let leading = Leading::Model(Box::new(pass), manifest.ids.clone());
    let held = Held::new(known, leading, candidate, (question, protocol), progress)?;
    let frames = taken(kept);
    let sound = reference.speak(&frames)?;
    held.spoken(candidate, Voice { frames, sound })
}

/// Holds a model against what a reference was recorded to say to one question.
pub fn compare_recorded(
    recording: &Recording,
    recorded: &Recorded,
    candidate: &mut Side,
    progress: impl FnMut(usize),
) -> Result<Comparison> {
    check_shapes(&recording.manifest, &candidate.omni.manifest)?;
    let known = Known {
        manifest: &recording.manifest,
        prompt: &recorded.prompt,
        mel: recorded.mel.as_ref(),
        features: recorded.features.as_ref(),
        steps: recorded.steps,
    };
    let asked = (&recorded.question, recorded.protocol);
    let leading = Leading::Recording(recorded, 0);
    let held = Held::new(known, leading, candidate, asked, progress)?;
    held.spoken(
        candidate,
        Voice {
            frames: recorded.frames.clone(),
            sound: recorded.sound.clone(),
        },
    )
}

/// What a reference made of a question before it answered.
struct Known<'a> {
    manifest: &'a Manifest,
    prompt: &'a Prompt,
    mel: Option<&'a Array2<f32>>,
    features: Option<&'a Array2<f32>>,
    /// Most steps of its answer.
    steps: usize,
}

/// What a reference spoke.
struct Voice {
    frames: Vec<Frame>,
    sound: Vec<f32>,
}

/// A comparison as far as the last step of the answer.
struct Held {
    comparison: Comparison,
    /// The reference's ids by the candidate's delay pattern, and the candidate's own frames.
    followed: Vec<Frame>,
    own: Vec<Frame>,
    seconds_per_sample: f64,
}

impl Held {
    fn new(
        known: Known,
        leading: Leading,
        candidate: &mut Side,
        (question, protocol): (&Question, Protocol),
        mut progress: impl FnMut(usize),
    ) -> Result<Held> {
        let (read, kept) = (candidate.read(question, protocol)?, KeptFrames::default());
        let mut stages = stages_before(&known, &read, &candidate.omni.manifest);
        let steps = known.steps.min(read.prepared.steps);
        let pass = candidate.pass(&read, protocol, steps, &kept)?;
        let lockstep = Lockstep::through(leading, pass, known.manifest, &mut progress)?;
        stages.extend(lockstep.stages);
        let followed = taken(kept);
        let (said, own) = match &lockstep.divergence {
            None => (lockstep.said.clone(), followed.clone()),
            Some(_) => candidate.answer(&read, protocol, steps)?,
        };
        Ok(Held {
            comparison: Comparison {
                task: protocol.task.name(),
                stages,
                features: features_drift(&known, &read),
                prefill: lockstep.prefill,
                teacher_forced: lockstep.teacher_forced,
                divergence: lockstep.divergence,
                reference: lockstep.said,
                candidate: said,
                pcm: None,
                sounds: None,
            },
            followed,
            own,
            seconds_per_sample: f64::from(known.manifest.codec.sample_rate).recip(),
        })
    }

    /// Completed by the sound of both.
    fn spoken(mut self, candidate: &mut Side, reference: Voice) -> Result<Comparison> {
        if reference.frames.is_empty() {
            return Ok(self.comparison);
        }
        let same = candidate.speak(&reference.frames)?;
        let own = match self.own == reference.frames {
            true => same.clone(),
            false => candidate.speak(&self.own)?,
        };
        let frames = frames_drift(&reference.frames, &self.followed);
        let said = &reference.sound;
        let distance = log_spectral_distance_db(said, &same);
        let mut sound = StageDrift::numbers(Stage::Sound, said, &same);
        sound.log_spectral_distance_db = Some(distance);
        let seconds = |samples: &[f32]| samples.len() as f64 * self.seconds_per_sample;
        self.comparison.pcm = Some(PcmDrift {
            samples: said.len(),
            max_difference: sound.max_difference.unwrap_or(f32::NAN),
            snr_db: sound.snr_db,
            log_spectral_distance_db: distance,
            own: OwnSound {
                reference_seconds: seconds(said),
                candidate_seconds: seconds(&own),
                log_spectral_distance_db: log_spectral_distance_db(said, &own),
            },
        });
        self.comparison.stages.extend([frames, sound]);
        self.comparison.sounds = Some(Sounds {
            reference: reference.sound,
            candidate_codec: same,
            candidate: own,
        });
        Ok(self.comparison)
    }
}

/// What going through an answer together gives.
struct Lockstep {
    stages: [StageDrift; 2],
    prefill: HeadsDrift,
    teacher_forced: TeacherForced,
    divergence: Option<Divergence>,
    /// The reference's answer.
    said: Said,
}

impl Lockstep {
    /// Both ways through the answer, the candidate following the reference's ids.
    fn through(
        mut leading: Leading,
        mut following: pass::Pass,
        reference: &Manifest,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Lockstep> {
        let ids = &reference.ids;
        let (mut tally, mut prefill, mut divergence) = (Tally::new(ids.streams()), None, None);
        let mut step_number = 0;
        while let Some(look) = leading.look()? {
            progress(step_number + 1);
            let step = look.step(ids);
            // A candidate of other rules may take its answer to be over before the reference does.
            let (drift, goes_on) = match following.look()? {
                Some(candidate) => (StepDrift::of(&look, &candidate, ids), true),
                None => (StepDrift::unanswered(&look), false),
            };
            tally.push(&drift);
            prefill.get_or_insert_with(|| tally.heads());
            divergence = divergence.or_else(|| drift.divergence(step_number));
            if goes_on {
                following.take(&step);
            }
            leading.take(&step);
            step_number += 1;
        }
        Ok(Lockstep {
            stages: [
                StageDrift::logits(Stage::PromptLogits, &tally.prompt),
                StageDrift::logits(Stage::StepLogits, &tally.later),
            ],
            prefill: prefill.unwrap_or_default(),
            teacher_forced: tally.finish(),
            divergence,
            said: leading.finish()?,
        })
    }
}
