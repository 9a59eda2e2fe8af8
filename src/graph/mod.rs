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
mod features;
mod inside;
mod kv_cache;
mod library;
mod likeliest;
mod mover;
mod operators;
mod place;
mod runtime;
mod session;
mod sketch;
mod smart_turn;
mod vad;

pub(crate) use call::{Call, Heard, Ids, Limits, Logits};
pub(crate) use codec::{CodecDecoder, CodecState};
pub(crate) use decoder::{Decoder, DecoderRows};
pub(crate) use encoder::{Encoder, Positions};
pub(crate) use features::Features;
pub(crate) use kv_cache::KvCache;
pub(crate) use likeliest::NOT_FINITE;
pub use operators::Kernels;
pub(crate) use place::What;
pub use runtime::{Provider, Runtime};
pub(crate) use smart_turn::SmartTurn;
pub(crate) use vad::Vad;
