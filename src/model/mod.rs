//! The folder on disk: what it says of itself, whether that can be true, and its tokenizer.
//!
//! `manifest` is the description, `check` holds it against reason, `folder` against the files and,
//! by their hashes, against what they contain. The graphs are opened by `graph`, which holds them
//! against the manifest.

mod check;
mod folder;
mod hash;
pub(crate) mod manifest;
pub(crate) mod tokenizer;

pub use manifest::{
    CodecDims, DecoderDims, Dim, Exporter, GraphSpec, Graphs, KvLayout, Manifest, MelDims,
    ModelFile, NoiseDims, Precision, SpecialIds, TensorSpec, Weights,
};
