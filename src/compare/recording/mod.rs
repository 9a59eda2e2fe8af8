//! What a model says to some questions, kept so that a later one is held against it without the model.
//!
//! A recording is a folder: `recording.json` names the model, with its whole manifest, and each
//! question; the arrays of a question (the sound itself, what each stage made of it, the answer) lie in
//! a safetensors file of their own, so that one is in memory at a time. `docs/compare.md` describes
//! the format; another version of it is refused by its number.

mod arrays;
mod check;

use std::fs;
use std::path::Path;

use ndarray::Array2;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::drift::Look;
use super::side::{Said, Side, taken};
use super::{KeptFrames, Protocol};
use crate::ask::{EncoderWindow, Question};
use crate::decoding::delay::Frame;
use crate::decoding::generation::HeadLogits;
use crate::decoding::prompt::Prompt;
use crate::decoding::sampling::all_finite;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Runtime;
use crate::model::manifest::{Manifest, Precision};
use crate::model::{names, parse_manifest};

/// The version of the format that this program writes and reads.
pub const FORMAT_VERSION: u32 = 1;
/// The file that makes a folder a recording.
const FILE_NAME: &str = "recording.json";
/// Bytes of that file, and of a file of arrays: a published model's has 10 million.
const LARGEST_INDEX: u64 = 256 << 20;
const LARGEST_ARRAYS: u64 = 4 << 30;

/// A folder of recorded answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Recording {
    /// The version of the format, [`FORMAT_VERSION`].
    pub format_version: u32,
    /// The version of the program that recorded.
    pub version: String,
    /// The version of ONNX Runtime.
    pub onnxruntime: String,
    /// Threads of one operator.
    pub threads: usize,
    /// What was recorded.
    pub model: Model,
    /// Its manifest.
    pub manifest: Manifest,
    /// What it was asked.
    pub questions: Vec<Entry>,
}

/// A model of a comparison or a recording, and how it was computed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Model {
    /// From the manifest.
    pub name: String,
    /// Of all its files: [`Manifest::hash`].
    pub hash: String,
    /// Weight format by graph.
    pub precision: Precision,
    /// "fused", "cuda" or "portable".
    pub profile: String,
    /// How much its encoder hears: "full", "merged" or "short".
    pub encoder_window: String,
    /// What computed.
    pub provider: String,
    /// Which kernels did; `None` in a recording that does not say.
    #[serde(default)]
    pub kernels: Option<String>,
}

impl Model {
    /// Of a manifest, computed by `runtime`.
    pub fn of(manifest: &Manifest, window: EncoderWindow, runtime: &Runtime) -> Model {
        Model {
            name: manifest.name.clone(),
            hash: manifest.hash(),
            precision: manifest.precision.clone(),
            profile: manifest.profile.clone(),
            encoder_window: window.name().into(),
            provider: runtime.provider().name().into(),
            kernels: Some(runtime.kernels().name().into()),
        }
    }
}

/// A question of a recording.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Entry {
    /// The file it came from, or the text in quotes.
    pub name: String,
    /// Name of the task.
    pub task: String,
    /// Most steps that were asked for.
    pub max_steps: usize,
    /// Most steps that the model's length left of them.
    pub steps: usize,
    /// The words of a written one.
    pub text: Option<String>,
    /// Of the sound of a spoken one.
    pub sample_rate: Option<u32>,
    /// What the model said.
    pub answer: Said,
    /// The file of its arrays.
    pub file: String,
    /// Of that file.
    pub sha256: String,
}

/// What a reference heard, read, said and spoke of one question.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub(super) question: Question,
    pub(super) protocol: Protocol,
    pub(super) steps: usize,
    pub(super) said: Said,
    pub(super) prompt: Prompt,
    pub(super) mel: Option<Array2<f32>>,
    pub(super) features: Option<Array2<f32>>,
    /// [steps][streams], the step that ended the answer included; `None` where no head was needed.
    ids: Vec<Vec<Option<i64>>>,
    logits: Vec<StepLogits>,
    pub(super) frames: Vec<Frame>,
    pub(super) sound: Vec<f32>,
}

/// The logits of a recorded step.
#[derive(Debug, Clone)]
struct StepLogits {
    step: usize,
    text: Option<Vec<f32>>,
    audio: Option<Vec<f32>>,
}

impl Recorded {
    /// Asks a model. Logits are kept of the first step and of each `logits_every`th after it;
    /// `progress` hears of each step.
    pub fn of(
        side: &mut Side,
        question: &Question,
        protocol: Protocol,
        logits_every: usize,
        mut progress: impl FnMut(usize),
    ) -> Result<Recorded> {
        let ids = side.omni.manifest.ids.clone();
        let (read, kept) = (side.read(question, protocol)?, KeptFrames::default());
        let mut pass = side.pass(&read, protocol, read.prepared.steps, &kept)?;
        let array = |array: &Option<Array2<f32>>| array.iter().flatten().all(|x| x.is_finite());
        whole(array(&read.mel), "mel spectrogram")?;
        whole(array(&read.features), "audio features")?;
        let (mut said, mut logits) = (Vec::new(), Vec::new());
        while let Some(heads) = pass.look()? {
            let step = said.len();
            progress(step + 1);
            if step.is_multiple_of(logits_every.max(1)) {
                logits.push(StepLogits {
                    step,
                    text: heads.text.map(<[f32]>::to_vec),
                    audio: heads.audio.map(<[f32]>::to_vec),
                });
            }
            let heads_finite = [heads.text, heads.audio]
                .into_iter()
                .flatten()
                .all(all_finite);
            whole(heads_finite, &format!("logits at step {step}"))?;
            let look = Look::at(heads, &ids);
            let step = look.step(&ids);
            said.push(look.ids);
            pass.take(&step);
        }
        let trace = pass.finish()?;
        let frames = taken(kept);
        let sound = side.speak(&frames)?;
        whole(all_finite(&sound), "sound")?;
        Ok(Recorded {
            question: question.clone(),
            protocol,
            steps: read.prepared.steps,
            said: Said::of(&trace),
            sound,
            frames,
            prompt: read.prepared.prompt,
            mel: read.mel,
            features: read.features,
            ids: said,
            logits,
        })
    }

    /// Its entry in a recording, and the bytes of the file that the entry names.
    pub fn to_file(&self, name: &str, file: &str) -> Result<(Entry, Vec<u8>)> {
        let bytes = arrays::write(self)?;
        let (text, sample_rate) = match &self.question {
            Question::Text(text) => (Some(text.clone()), None),
            Question::Audio(pcm) => (None, Some(pcm.sample_rate())),
        };
        let entry = Entry {
            name: names::one_line(name),
            task: self.protocol.task.name().into(),
            max_steps: self.protocol.max_steps,
            steps: self.steps,
            text,
            sample_rate,
            answer: self.said.clone(),
            file: file.into(),
            sha256: hash(&bytes),
        };
        Ok((entry, bytes))
    }

    /// What the reference says at a step; `None` behind the last.
    pub(super) fn look(&self, step: usize) -> Option<Look<'_>> {
        let logits = self.logits.iter().find(|logits| logits.step == step);
        Some(Look {
            ids: self.ids.get(step)?.clone(),
            logits: HeadLogits {
                text: logits.and_then(|logits| logits.text.as_deref()),
                audio: logits.and_then(|logits| logits.audio.as_deref()),
            },
        })
    }
}

impl Recording {
    /// Of no question yet.
    pub fn new(manifest: Manifest, window: EncoderWindow, runtime: &Runtime) -> Recording {
        Recording {
            format_version: FORMAT_VERSION,
            version: env!("CARGO_PKG_VERSION").into(),
            onnxruntime: runtime.version(),
            threads: runtime.threads(),
            model: Model::of(&manifest, window, runtime),
            manifest,
            questions: Vec::new(),
        }
    }

    /// Whether `folder` is a recording, and not a model.
    pub fn is_in(folder: &Path) -> bool {
        folder.join(FILE_NAME).exists()
    }

    /// Reads the index of the recording in `folder`; the manifest in it is checked as a model's is.
    pub fn load(folder: &Path) -> Result<Recording> {
        let path = folder.join(FILE_NAME);
        let bytes = read(&path, LARGEST_INDEX)?;
        let bad = |why: String| damaged(&path, &why);
        let json: serde_json::Value =
            serde_json::from_slice(&bytes).map_err(|e| bad(format!("it is not JSON: {e}")))?;
        let version = &json["format_version"];
        if *version != FORMAT_VERSION {
            let sentence = format!(
                "{} has format_version {}, this program reads {FORMAT_VERSION}; record it again with mini-omni record",
                path.display(),
                names::one_line(&version.to_string())
            );
            return Err(Error::new(ErrorKind::File, sentence));
        }
        let manifest = parse_manifest(&json["manifest"].to_string());
        manifest
            .map_err(|why| bad(format!("its manifest is of no model that runs here: {why}")))?;
        let recording: Recording = serde_json::from_value(json).map_err(|e| bad(e.to_string()))?;
        check::index(&recording).map_err(bad)?;
        Ok(recording)
    }

    /// Reads what was recorded of a question of the recording in `folder`.
    pub fn read(&self, folder: &Path, entry: &Entry) -> Result<Recorded> {
        let path = folder.join(&entry.file);
        let bytes = read(&path, LARGEST_ARRAYS)?;
        if hash(&bytes) != entry.sha256 {
            return Err(damaged(
                &path,
                "its sha256 is not the one in recording.json",
            ));
        }
        let read = arrays::read(&bytes, entry, &self.manifest);
        let checked = read.and_then(|recorded| {
            check::arrays(&recorded, self)?;
            Ok(recorded)
        });
        checked.map_err(|why| damaged(&path, &why))
    }

    /// What `recording.json` holds.
    pub fn to_json(&self) -> Result<String> {
        let json = serde_json::to_string_pretty(self);
        let json = json.map_err(|e| damaged(Path::new(FILE_NAME), &e.to_string()))?;
        Ok(json + "\n")
    }

    /// The name of that file.
    pub fn file_name() -> &'static str {
        FILE_NAME
    }
}

/// Refuses to keep what is no number: nothing agrees with it, the same model neither.
fn whole(finite: bool, what: &str) -> Result<()> {
    if finite {
        return Ok(());
    }
    let sentence = format!(
        "the model cannot be a reference: values of its {what} are no finite numbers; verify the model folder, or export the model again"
    );
    Err(Error::new(ErrorKind::Graph, sentence))
}

fn hash(bytes: &[u8]) -> String {
    crate::model::hex(&Sha256::digest(bytes))
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let found = fs::metadata(path).map_err(Error::unreadable(path))?;
    if !found.is_file() || found.len() > most {
        let why = format!("it is no file of at most {most} bytes");
        return Err(damaged(path, &why));
    }
    fs::read(path).map_err(Error::unreadable(path))
}

fn damaged(path: &Path, why: &str) -> Error {
    let sentence = format!(
        "{} is no part of a recording that can be used: {}; copy the recording again, or make one with mini-omni record",
        path.display(),
        names::one_line(why)
    );
    Error::new(ErrorKind::File, sentence)
}
