//! The model folder describes itself: `manifest.json` holds every constant of the model.
//!
//! No size, id or delay of a model lives in this crate; all of it is read here and checked before
//! anything runs. The exporter (`export/`) writes the file; DESIGN calls its fields the contract.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::hash::{hex, sha256_hex};

/// The manifest format this runtime reads.
pub const FORMAT_VERSION: u32 = 1;
/// The file that makes a folder a model.
pub const FILE_NAME: &str = "manifest.json";

/// One model, completely described.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    pub format_version: u32,
    pub name: String,
    /// "trained", or "random": then its speech is noise.
    pub weights: Weights,
    pub exporter: Exporter,
    #[serde(default)]
    pub source: Vec<ModelFile>,
    pub profile: String,
    pub precision: Precision,
    pub mel: MelDims,
    pub ids: SpecialIds,
    /// Steps by which each audio stream is delayed, one a stream.
    pub delays: Vec<usize>,
    pub decoder: DecoderDims,
    pub codec: CodecDims,
    pub tokenizer: String,
    pub graphs: Graphs,
    pub files: Vec<ModelFile>,
}

/// Whether the weights mean anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weights {
    Trained,
    Random,
}

/// What wrote the folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Exporter {
    pub name: String,
    pub version: String,
    pub onnx: String,
    pub opset: u32,
}

/// Weight format of each graph: fp32, fp16, int8, int4.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Precision {
    pub encoder: String,
    pub decoder: String,
    pub codec: String,
}

/// Sound in: the mel spectrogram the encoder was trained on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MelDims {
    /// Hz.
    pub sample_rate: u32,
    /// Samples of one analysis window.
    pub n_fft: usize,
    /// Samples between two frames.
    pub hop_length: usize,
    pub n_mels: usize,
    /// Seconds the encoder hears; shorter clips are padded to it.
    pub max_seconds: usize,
    /// Mel frames that become one audio feature.
    pub frames_per_feature: usize,
    /// Milliseconds of one audio feature.
    pub feature_ms: usize,
}

impl MelDims {
    /// Frames of the full window (3000 for Whisper).
    pub fn max_frames(&self) -> usize {
        self.max_samples() / self.hop_length
    }

    /// Samples of the full window.
    pub fn max_samples(&self) -> usize {
        self.max_seconds * self.sample_rate as usize
    }
}

/// Ids with a meaning of their own; text ids below, audio ids within one stream (unshifted).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SpecialIds {
    pub audio_streams: usize,
    pub text_vocab_size: usize,
    pub audio_vocab_size: usize,
    pub eot: i64,
    pub pad_t: i64,
    pub input_t: i64,
    pub answer_t: i64,
    pub asr: i64,
    pub eoa: i64,
    pub pad_a: i64,
    pub input_a: i64,
    pub answer_a: i64,
    pub split: i64,
}

impl SpecialIds {
    /// Streams of one step: audio, then one of text.
    pub fn streams(&self) -> usize {
        self.audio_streams + 1
    }
}

/// How the decoder keeps what it has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KvLayout {
    /// past and present are one buffer of fixed capacity, written in place (fused profile).
    Shared,
    /// present = past with the new positions appended (portable profile).
    Concat,
}

/// Sizes of the decoder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DecoderDims {
    pub n_layer: usize,
    pub n_embd: usize,
    pub n_head: usize,
    pub n_kv_head: usize,
    pub head_size: usize,
    /// Positions of prompt and answer together.
    pub max_length: usize,
    pub kv_cache: KvLayout,
}

/// Sound out: the codec and how its frames lie in the streams.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CodecDims {
    /// Hz.
    pub sample_rate: u32,
    /// Samples of one frame.
    pub samples_per_frame: usize,
    /// The codec level that each audio stream's id belongs to.
    pub levels: Vec<usize>,
    /// Latents that share one code, per level, coarse to fine.
    pub level_strides: Vec<usize>,
    pub codebook_size: usize,
    /// Samples by which the streaming decoder's output lags its input.
    pub delay_samples: usize,
    /// One entry a noise block of the decoder; empty where the codec has none.
    pub noise: Vec<NoiseDims>,
}

impl CodecDims {
    /// Frames that push the last delayed samples out.
    pub fn flush_frames(&self) -> usize {
        self.delay_samples.div_ceil(self.samples_per_frame)
    }

    /// Whether the streams' levels are as many of each level as its stride asks for.
    fn levels_fit(&self) -> bool {
        let codes = |level| self.levels.iter().filter(|&&l| l == level).count();
        let n_levels = self.level_strides.len();
        !self.level_strides.contains(&0)
            && self.levels.iter().all(|&level| level < n_levels)
            && (0..n_levels).all(|level| codes(level) == self.codes_per_frame(level))
    }

    /// Codes a frame holds, per level.
    pub fn codes_per_frame(&self, level: usize) -> usize {
        self.level_strides[0] / self.level_strides[level]
    }
}

/// Rate and lag of one noise block.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NoiseDims {
    /// Draws per frame.
    pub per_frame: usize,
    /// Draws by which the block's input lags.
    pub delay: usize,
}

/// The four graphs of a model.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Graphs {
    pub encoder: GraphSpec,
    pub decoder: GraphSpec,
    pub codec_decoder: GraphSpec,
    pub codec_encoder: GraphSpec,
}

/// One graph file with its inputs and outputs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GraphSpec {
    pub file: String,
    pub inputs: Vec<TensorSpec>,
    pub outputs: Vec<TensorSpec>,
}

/// Name, element type and shape of an input or output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TensorSpec {
    pub name: String,
    pub dtype: String,
    pub shape: Vec<Dim>,
}

/// A dimension: a number, or a name where it varies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Dim {
    Fixed(i64),
    Named(String),
}

impl std::fmt::Display for Dim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Dim::Fixed(n) => write!(f, "{n}"),
            Dim::Named(name) => f.write_str(name),
        }
    }
}

/// A file of the model, or one it was made from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ModelFile {
    #[serde(alias = "file")]
    pub name: String,
    pub bytes: u64,
    pub sha256: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
}

impl Manifest {
    /// Reads and checks the manifest of the model in `folder`; every file it names must be there
    /// with its size. Hashes are checked by [`Manifest::verify`] alone, since that reads them all.
    pub fn load(folder: &Path) -> Result<Manifest> {
        let path = folder.join(FILE_NAME);
        let text = fs::read_to_string(&path).map_err(|e| missing_model(folder, &path, e))?;
        let manifest = parse(&text, &path)?;
        manifest
            .check_dims()
            .map_err(|why| bad_manifest(&path, &why))?;
        manifest.check_files(folder)?;
        Ok(manifest)
    }

    /// Compares every file with its sha256; returns the names that differ. Reads all weights.
    pub fn verify(&self, folder: &Path) -> Result<Vec<String>> {
        let mut differing = Vec::new();
        for file in &self.files {
            let path = folder.join(&file.name);
            let found = sha256_hex(&path).map_err(Error::file("read", &path))?;
            if found != file.sha256 {
                differing.push(file.name.clone());
            }
        }
        Ok(differing)
    }

    /// One hash that stands for the whole model: of the sorted hashes of its files.
    pub fn hash(&self) -> String {
        let mut hashes: Vec<_> = self.files.iter().map(|f| f.sha256.as_str()).collect();
        hashes.sort_unstable();
        hex(&Sha256::digest(hashes.concat().as_bytes()))
    }

    fn check_files(&self, folder: &Path) -> Result<()> {
        for file in &self.files {
            let path = folder.join(&file.name);
            let bytes = fs::metadata(&path)
                .map_err(|e| missing_model(folder, &path, e))?
                .len();
            if bytes != file.bytes {
                return Err(Error::Model(format!(
                    "{} has {bytes} bytes, its manifest says {}; export or copy the model folder again",
                    path.display(),
                    file.bytes
                )));
            }
        }
        Ok(())
    }

    fn check_dims(&self) -> std::result::Result<(), String> {
        let streams = self.ids.audio_streams;
        let positive = [
            self.mel.n_fft,
            self.mel.hop_length,
            self.mel.n_mels,
            self.mel.max_seconds,
            self.mel.frames_per_feature,
            self.mel.feature_ms,
            self.mel.sample_rate as usize,
            self.decoder.n_layer,
            self.decoder.n_embd,
            self.decoder.n_kv_head,
            self.decoder.head_size,
            self.codec.samples_per_frame,
            self.codec.sample_rate as usize,
        ];
        if positive.contains(&0) {
            return Err("a size in it is 0".into());
        }
        if streams == 0 || self.delays.len() != streams || self.codec.levels.len() != streams {
            return Err(format!(
                "it has {streams} audio streams, {} delays and {} codec levels; the three must agree",
                self.delays.len(),
                self.codec.levels.len()
            ));
        }
        if !self.codec.levels_fit() {
            return Err(format!(
                "codec levels and level_strides do not make {streams} codes a frame"
            ));
        }
        let text = [
            self.ids.eot,
            self.ids.pad_t,
            self.ids.input_t,
            self.ids.answer_t,
            self.ids.asr,
        ];
        let audio = [
            self.ids.eoa,
            self.ids.pad_a,
            self.ids.input_a,
            self.ids.answer_a,
            self.ids.split,
        ];
        check_ids("text", &text, self.ids.text_vocab_size)?;
        check_ids("audio", &audio, self.ids.audio_vocab_size)?;
        if self.codec.codebook_size > self.ids.audio_vocab_size {
            return Err("codebook_size is larger than audio_vocab_size".into());
        }
        Ok(())
    }
}

fn parse(text: &str, path: &Path) -> Result<Manifest> {
    // The version first, so that another format is named as such and not as a missing field.
    let value: serde_json::Value = serde_json::from_str(text)
        .map_err(|e| bad_manifest(path, &format!("it is not JSON: {e}")))?;
    let version = value
        .get("format_version")
        .and_then(serde_json::Value::as_u64);
    if version != Some(u64::from(FORMAT_VERSION)) {
        let found = version.map_or("none".to_string(), |v| v.to_string());
        return Err(bad_manifest(
            path,
            &format!("its format_version is {found}, this runtime reads {FORMAT_VERSION}"),
        ));
    }
    serde_json::from_value(value).map_err(|e| bad_manifest(path, &e.to_string()))
}

fn check_ids(what: &str, ids: &[i64], vocab: usize) -> std::result::Result<(), String> {
    match ids.iter().find(|&&id| id < 0 || id as usize >= vocab) {
        Some(id) => Err(format!(
            "special {what} id {id} lies outside its vocabulary of {vocab}"
        )),
        None => Ok(()),
    }
}

fn bad_manifest(path: &Path, why: &str) -> Error {
    Error::Model(format!(
        "{} does not describe a model this runtime can run: {why}; export it again with mini-omni-export",
        path.display()
    ))
}

fn missing_model(folder: &Path, path: &Path, source: std::io::Error) -> Error {
    if source.kind() == std::io::ErrorKind::NotFound {
        return Error::Model(format!(
            "{} is not a complete model folder: {} is missing; make one with mini-omni-export --out {}",
            folder.display(),
            path.display(),
            folder.display()
        ));
    }
    Error::File {
        action: "read",
        path: path.to_path_buf(),
        source,
    }
}
