//! What a comparison says, as one struct: JSON is its fields, and every other form reads it.

use mini_omni::Runtime;
use mini_omni::compare::{
    Comparison, Located, Model, Side, Stage, StageDrift, StreamFigures, StreamSteps,
};
use serde::Serialize;

use super::gates::Verdict;

/// Everything a comparison says.
#[derive(Serialize)]
pub struct Report {
    pub version: String,
    pub onnxruntime: String,
    pub threads: usize,
    pub reference: Computed,
    pub candidate: Computed,
    /// Whether the reference is a recording.
    pub recorded: bool,
    /// Most steps of an answer; of a recording, of its longest.
    pub max_steps: usize,
    pub inputs: Vec<Asked>,
    /// Teacher-forced, over all inputs and streams; between 0 and 1.
    pub agreement: f64,
    /// Over all inputs, by stream, the text stream last.
    pub streams: Vec<StreamFigures>,
    /// The text stream again, and the audio streams together.
    pub text: StreamFigures,
    pub audio: StreamFigures,
    /// Share of inputs whose free-running answers are the same.
    pub same_answers: f64,
    /// Error above which a stage is at fault.
    pub band: f64,
    /// Each stage at its worst over all inputs.
    pub stages: Vec<WorstStage>,
    /// The first stage of them at fault; null where none is.
    pub first_fault: Option<Stage>,
    /// Where it lies; null where nobody asked, or nothing was found.
    pub located: Option<LocatedAt>,
    /// Why nothing was found; null where something was, or nobody asked.
    pub not_located: Option<String>,
    /// What was asked for; null where nothing was.
    pub min_agreement: Option<f64>,
    /// That of `--min-agreement`, if asked for, and those of `--gates`.
    pub gates: Vec<Verdict>,
}

/// A model, and by what it was computed.
#[derive(Clone, Serialize)]
pub struct Computed {
    #[serde(flatten)]
    pub model: Model,
    /// Of one operator.
    pub threads: usize,
    pub onnxruntime: String,
    /// Of this program.
    pub version: String,
}

impl Computed {
    /// A model that this process computes.
    pub fn of(side: &Side, runtime: &Runtime) -> Computed {
        Computed {
            model: Model::of(side.omni.manifest(), side.window, runtime),
            threads: runtime.threads(),
            onnxruntime: runtime.version(),
            version: env!("CARGO_PKG_VERSION").into(),
        }
    }

    /// Which model, as a line.
    pub fn model_line(&self) -> String {
        let (model, precision) = (&self.model, &self.model.precision);
        format!(
            "{} ({}), {}, encoder {}, decoder {}, codec {}, {} encoder window",
            model.name,
            model.hash.get(..12).unwrap_or_default(),
            model.profile,
            precision.encoder,
            precision.decoder,
            precision.codec,
            model.encoder_window,
        )
    }

    /// What computed it, as a line.
    pub fn means_line(&self) -> String {
        let kernels = self.model.kernels.as_deref().unwrap_or("unknown");
        format!(
            "{}, {kernels} kernels, {} threads, ONNX Runtime {}, mini-omni {}",
            self.model.provider, self.threads, self.onnxruntime, self.version
        )
    }
}

/// One input with what came of it.
#[derive(Serialize)]
pub struct Asked {
    pub input: String,
    #[serde(flatten)]
    pub comparison: Comparison,
}

impl Report {
    /// Each side's name, its model and what computed it, as lines.
    pub fn sides(&self) -> [[String; 3]; 2] {
        let recorded = if self.recorded { ", recorded" } else { "" };
        let lines = |name: &str, side: &Computed, more: &str| {
            [name.into(), side.model_line(), side.means_line() + more]
        };
        [
            lines("reference", &self.reference, recorded),
            lines("candidate", &self.candidate, ""),
        ]
    }
}

impl Asked {
    /// Its steps by stream, the text stream last.
    pub fn steps(&self) -> &[StreamSteps] {
        &self.comparison.teacher_forced.by_step
    }

    /// All its streams together.
    pub fn figures(&self) -> StreamFigures {
        StreamFigures::of(&[self.steps()])
    }
}

/// A stage where it is worst.
#[derive(Serialize)]
pub struct WorstStage {
    pub input: String,
    #[serde(flatten)]
    pub drift: StageDrift,
}

/// What `--locate` found.
#[derive(Serialize)]
pub struct LocatedAt {
    pub input: String,
    #[serde(flatten)]
    pub located: Located,
}

/// Figures over all inputs.
pub struct Figures {
    pub streams: Vec<StreamFigures>,
    pub text: StreamFigures,
    pub audio: StreamFigures,
    pub all: StreamFigures,
}

impl Figures {
    pub fn of(inputs: &[Asked]) -> Figures {
        let n = inputs.first().map_or(0, |asked| asked.steps().len());
        let over = |streams: std::ops::Range<usize>| {
            let answers: Vec<_> = inputs.iter().map(|a| &a.steps()[streams.clone()]).collect();
            StreamFigures::of(&answers)
        };
        let text = n.saturating_sub(1);
        Figures {
            streams: (0..n).map(|stream| over(stream..stream + 1)).collect(),
            text: over(text..n),
            audio: over(0..text),
            all: over(0..n),
        }
    }
}

/// Each stage at its worst.
pub fn worst_stages(inputs: &[Asked]) -> Vec<WorstStage> {
    let mut worst: Vec<WorstStage> = Vec::new();
    for asked in inputs {
        for drift in &asked.comparison.stages {
            let found = worst.iter_mut().find(|w| w.drift.stage == drift.stage);
            let this = WorstStage {
                input: asked.input.clone(),
                drift: drift.clone(),
            };
            match found {
                None => worst.push(this),
                Some(worst) if drift.is_beyond(worst.drift.error) => *worst = this,
                Some(_) => {}
            }
        }
    }
    worst.sort_by_key(|worst| worst.drift.stage);
    worst
}

/// The inputs, worst first: fewest ids in common, then the largest mean KL, then the worst sound.
pub fn worst_first(inputs: &[Asked]) -> Vec<&Asked> {
    let key = |asked: &Asked| {
        let all = asked.figures();
        let sound = asked.comparison.stages.last().map_or(0.0, |s| s.error);
        let kl = all.kl_nats.map_or(0.0, |kl| kl.mean);
        [all.agreement.share(), -kl, -sound]
    };
    let mut keyed: Vec<_> = inputs.iter().map(|asked| (key(asked), asked)).collect();
    keyed.sort_by(|(a, _), (b, _)| {
        let pairs = a.iter().zip(b).map(|(a, b)| a.total_cmp(b));
        pairs.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
    });
    keyed.into_iter().map(|(_, asked)| asked).collect()
}
