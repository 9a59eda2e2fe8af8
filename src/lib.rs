//! Mini-Omni outside the lab: a question goes in as sound or text, the answer comes out as text and
//! speech while it is being written.
//!
//! ```text
//! wav ─audio─▶ 16 kHz mono ─mel─▶ Mel [80, frames] ─Encoder─▶ AudioFeatures [n, d] ┐
//! text ─tokenizer───────────────────────────────────────────────────────────────────┼─Prompt─▶ ids [rows, 8, seq]
//!         ┌──────────────── feedback (the task's rules) ◀──────────┐                ▼
//!         └─▶ Decoder ⇄ KvCache ─▶ Logits ─Sampler─▶ Step {text, audio} ──────┴─▶ text out
//!                                                       └─DelayPattern─▶ Frame ─Codec─▶ PCM 24 kHz
//! ```
//!
//! Load a [`Runtime`] and an [`Omni`], then [`Omni::stream`] a [`Question`]; for many at once give the
//! model to a [`Scheduler`]. `examples/` has a file for each use.
//!
//! The layers, each of which knows only those before it (`docs/architecture.md`): `error`, [`model`]
//! (the folder on disk), [`audio`], `decoding` (rules, pure), `ask` and `trace` (the vocabulary), `graph`
//! (the only place that knows ONNX Runtime), [`hearing`] (where there is speech), `engine`, then the ways
//! in: `omni`, `scheduler`, [`session`], [`compare`], [`eval`], [`measure`].
#![warn(missing_docs)]

mod ask;
pub mod audio;
pub mod compare;
mod decoding;
mod engine;
mod error;
pub mod eval;
mod fence;
mod graph;
pub mod hearing;
pub mod measure;
pub mod model;
mod omni;
mod scheduler;
pub mod session;
mod sync;
mod trace;

pub use ask::{EncoderWindow, Event, Millis, Options, Question};
pub use audio::Pcm;
pub use decoding::generation::Ended;
pub use decoding::noise::Noise;
pub use decoding::sampling::SamplingConfig;
pub use decoding::task::{Source, Task};
pub use engine::{Answer, Memory};
pub use error::{Error, ErrorKind, Result};
pub use graph::{Kernels, Provider, Runtime};
pub use model::Manifest;
pub use omni::Omni;
pub use scheduler::{Limits, Request, Scheduler};
pub use trace::{Timings, Trace};
