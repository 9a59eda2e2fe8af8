//! The model folder describes itself: `manifest.json` holds every constant of the model.
//!
//! No size, id or delay of a model lives in this crate; all of it is read from here and checked
//! before anything runs. The exporter (`export/`) writes the file; `docs/manifest.md` explains it.

use serde::{Deserialize, Serialize};

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
    /// How a question is listened to before the encoder hears it.
    #[serde(default)]
    pub hearing: HearingDefaults,
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

/// How a question is listened to where nobody says otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HearingDefaults {
    /// Whether what is no speech at both ends is cut. The original cuts nothing.
    #[serde(default)]
    pub trim: bool,
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
    pub(super) fn levels_fit(&self) -> bool {
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
