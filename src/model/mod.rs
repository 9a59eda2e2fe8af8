//! The folder on disk: what it says of itself, whether that can be true, and its tokenizer.
//!
//! `manifest` is the description; `check` holds it against reason, `contract` against what the runtime
//! does with each graph, `folder` against the files and, by their hashes, against what they contain.
//! `graph_file` finds the data files that a graph names, `functions` how large it becomes, `inside` its nodes, `links` follows them where they are links
//! to elsewhere, `names` keeps every name inside the folder. The graphs are opened by `graph`, which
//! holds them against the manifest. `tokenizer` reads tokenizer.json, which `outline` looks over before
//! and `guard` fences in.

mod check;
pub(crate) mod contract;
mod folder;
mod functions;
mod graph_file;
mod guard;
mod hash;
pub(crate) mod inside;
pub(crate) mod links;
pub(crate) mod manifest;
pub(crate) mod names;
mod outline;
pub(crate) mod tokenizer;

pub(crate) use folder::parse as parse_manifest;
pub use folder::{FILE_NAME, FORMAT_VERSION};
pub(crate) use hash::hex;
pub use hash::sha256_hex;
pub use manifest::{
    CodecDims, DecoderDims, Dim, Exporter, GraphSpec, Graphs, KvLayout, Manifest, MelDims,
    MergedWindow, ModelFile, NoiseDims, Precision, SpecialIds, TensorSpec, Weights,
};
pub use tokenizer::check_tokenizer;
