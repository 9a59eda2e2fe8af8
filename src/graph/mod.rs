//! The graphs, and the only place that knows `ort`.
//!
//! `runtime` finds and loads the ONNX Runtime library, `session` opens a graph and holds it against
//! the manifest, and one file a graph gives it a typed face: `encoder`; `decoder`, whose `kv_cache` is
//! apart from the `buffers` of a `call`; `codec`; `vad`; `smart_turn`. `inside` hands out what is inside them. `operators` are those that this crate runs faster
//! than ONNX Runtime does.

mod buffers;
mod call;
mod codec;
mod decoder;
mod encoder;
mod inside;
mod kv_cache;
mod library;
mod operators;
mod runtime;
mod session;
mod smart_turn;
mod vad;

pub(crate) use call::{Call, Logits};
pub(crate) use codec::{CodecDecoder, CodecState};
pub(crate) use decoder::{Decoder, DecoderRows};
pub(crate) use encoder::Encoder;
pub(crate) use kv_cache::KvCache;
pub use operators::Kernels;
pub use runtime::{Provider, Runtime};
pub(crate) use smart_turn::SmartTurn;
pub(crate) use vad::Vad;
