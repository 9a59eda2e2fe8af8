//! The model folder describes itself: `manifest.json` holds every constant of the model.
//!
//! No size, id or delay of a model lives in this crate; all of it is read from here and checked
//! before anything runs. The exporter (`export/`) writes the file; `docs/manifest.md` explains it.

use serde::{Deserialize, Serialize};

/// One model, completely described.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Manifest {
    /// The version of this format, [`FORMAT_VERSION`](super::FORMAT_VERSION).
    pub format_version: u32,
    /// What the model is called.
    pub name: String,
    /// "trained", or "random": then its speech is noise.
    pub weights: Weights,
    /// What wrote the folder.
    pub exporter: Exporter,
    /// Files the model was made from; nobody needs them to run it.
    #[serde(default)]
    pub source: Vec<ModelFile>,
    /// "fused" (operators of ONNX Runtime's own), "cuda" (those that its CUDA provider has) or
    /// "portable" (standard ones only).
    pub profile: String,
    /// Weight format of each graph.
    pub precision: Precision,
    /// How sound is heard.
    pub mel: MelDims,
    /// Vocabularies and the ids with a meaning of their own.
    pub ids: SpecialIds,
    /// Steps by which each audio stream is delayed, one a stream.
    pub delays: Vec<usize>,
    /// Which positions the encoder computes of the silence behind a clip; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged_window: Option<MergedWindow>,
    /// Sizes of the language model.
    pub decoder: DecoderDims,
    /// Sizes of the codec.
    pub codec: CodecDims,
    /// How a question is listened to before the encoder hears it.
    #[serde(default)]
    pub hearing: HearingDefaults,
    /// File name of the tokenizer.
    pub tokenizer: String,
    /// The graphs with their inputs and outputs.
    pub graphs: Graphs,
    /// Every file of the folder that the model needs, with its size and hash.
    pub files: Vec<ModelFile>,
}

/// Whether the weights mean anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Weights {
    /// By a checkpoint.
    Trained,
    /// Drawn at random, for benchmarks: its speech is noise.
    Random,
}

/// What wrote the folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Exporter {
    /// The program.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Version of the Python package onnx that it wrote with.
    pub onnx: String,
    /// Version of the ONNX operators.
    pub opset: u32,
}

/// Weight format of each graph: fp32, fp16, int8, int4.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Precision {
    /// Of the encoder.
    pub encoder: String,
    /// Of the decoder.
    pub decoder: String,
    /// Of the codec, both directions.
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
    /// Frequency bands of a frame.
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

    /// Audio features of the full window (1500 for Whisper).
    pub fn max_features(&self) -> usize {
        self.max_frames() / self.frames_per_feature
    }

    /// Samples of the full window.
    pub fn max_samples(&self) -> usize {
        self.max_seconds * self.sample_rate as usize
    }
}

/// What the encoder computes of its window in place of all: the clip, a margin, and of the silence
/// behind it a few positions, each of which stands for those before it that are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MergedWindow {
    /// Positions behind the clip that are computed like the clip's.
    pub margin: usize,
    /// Positions that are computed wherever they are silence, ascending; the last is the window's.
    pub kept: Vec<usize>,
}

/// How a question is listened to where nobody says otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HearingDefaults {
    /// Whether what is no speech at both ends is cut. The original cuts nothing.
    #[serde(default)]
    pub trim: bool,
}

/// Ids with a meaning of their own; text ids below, audio ids within one stream (unshifted).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SpecialIds {
    /// Audio ids of one step, one a stream.
    pub audio_streams: usize,
    /// Text ids, special ones and padding included.
    pub text_vocab_size: usize,
    /// Audio ids of one stream, special ones and padding included.
    pub audio_vocab_size: usize,
    /// End of text; every id below it is a word of the tokenizer.
    pub eot: i64,
    /// Text stream: nothing is said here.
    pub pad_t: i64,
    /// Text stream: a question begins.
    pub input_t: i64,
    /// Text stream: the answer begins.
    pub answer_t: i64,
    /// Text stream: a transcription begins.
    pub asr: i64,
    /// End of audio.
    pub eoa: i64,
    /// Audio streams: nothing is said here.
    pub pad_a: i64,
    /// Audio streams: a question begins.
    pub input_a: i64,
    /// Audio streams: the answer begins.
    pub answer_a: i64,
    /// Audio streams: between two parts; unused by the tasks.
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
#[non_exhaustive]
pub enum KvLayout {
    /// past and present are one buffer of fixed capacity, written in place (fused profile).
    Shared,
    /// present = past with the new positions appended (portable profile).
    Concat,
}

/// What the decoder's cache is made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum CacheDtype {
    /// 32-bit floats.
    #[default]
    Float32,
    /// 16-bit floats (cuda profile).
    Float16,
}

impl CacheDtype {
    /// As in manifests.
    pub fn name(self) -> &'static str {
        match self {
            CacheDtype::Float32 => "float32",
            CacheDtype::Float16 => "float16",
        }
    }
}

/// Sizes of the decoder.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DecoderDims {
    /// Layers.
    pub n_layer: usize,
    /// Width of an embedding and of an audio feature.
    pub n_embd: usize,
    /// Heads of the queries.
    pub n_head: usize,
    /// Heads of the keys and values; divides `n_head`.
    pub n_kv_head: usize,
    /// Width of one head.
    pub head_size: usize,
    /// Positions of prompt and answer together.
    pub max_length: usize,
    /// How the graph takes past keys and values.
    pub kv_cache: KvLayout,
    /// What past keys and values are.
    #[serde(default)]
    pub cache_dtype: CacheDtype,
}

/// Sound out: the codec and how its frames lie in the streams.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CodecDims {
    /// Hz.
    pub sample_rate: u32,
    /// Samples of one frame.
    pub samples_per_frame: usize,
    /// The codec level that each audio stream's id belongs to.
    pub levels: Vec<usize>,
    /// Latents that share one code, per level, coarse to fine.
    pub level_strides: Vec<usize>,
    /// Codes of one level; an audio id at or above it is no code.
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
#[non_exhaustive]
pub struct NoiseDims {
    /// Draws per frame.
    pub per_frame: usize,
    /// Draws by which the block's input lags.
    pub delay: usize,
}

/// The four graphs of a model.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Graphs {
    /// Mel [1, n_mels, frames] to audio features [n_features, n_embd].
    pub encoder: GraphSpec,
    /// Ids [batch, streams, seq] to logits, beside keys and values.
    pub decoder: GraphSpec,
    /// Codes and noise to sound, in pieces.
    pub codec_decoder: GraphSpec,
    /// Sound to codes, for training; the runtime does not open it.
    pub codec_encoder: GraphSpec,
}

/// One graph file with its inputs and outputs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GraphSpec {
    /// File name in the folder.
    pub file: String,
    /// What it takes.
    pub inputs: Vec<TensorSpec>,
    /// What it gives.
    pub outputs: Vec<TensorSpec>,
}

/// Name, element type and shape of an input or output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TensorSpec {
    /// As in the graph.
    pub name: String,
    /// float32, float16, int64 or int32.
    pub dtype: String,
    /// Its dimensions, outermost first.
    pub shape: Vec<Dim>,
}

/// A dimension: a number, or a name where it varies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Dim {
    /// Always of this size.
    Fixed(i64),
    /// Of another size in each call; equal names are equal sizes.
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
#[non_exhaustive]
pub struct ModelFile {
    /// Its name; of a model's own files, the path inside the folder.
    #[serde(alias = "file")]
    pub name: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Hex sha256 of its content.
    pub sha256: String,
    /// SPDX identifier, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
}
