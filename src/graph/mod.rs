//! The graphs, and the only place that knows `ort`.
//!
//! [`runtime`] finds and loads the ONNX Runtime library, [`session`] opens a graph and holds it
//! against the manifest, and one file a graph gives it a typed face: [`encoder`], [`decoder`] with
//! its [`kv_cache`] and `binding`, [`codec`] with the `operators` that it runs faster than ONNX
//! Runtime does.

mod binding;
pub mod codec;
pub mod decoder;
pub mod encoder;
pub mod kv_cache;
mod operators;
pub mod runtime;
pub mod session;

pub use codec::{CodecDecoder, CodecState};
pub use decoder::Decoder;
pub use encoder::Encoder;
pub use kv_cache::KvCache;
pub use runtime::{Provider, Runtime};
