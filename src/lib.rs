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
//! [`Omni::stream`] is the one path; [`Scheduler`] walks it with many conversations at once, and both
//! turn the same engine. Pure modules stand in the middle ([`mel`], [`task`], [`prompt`], [`turn`],
//! [`delay`], [`sampling`], [`noise`]), files and sound at the rim ([`audio`], [`manifest`],
//! [`output`]), and [`graph`] is the only place that knows ONNX Runtime.

pub mod answer;
pub mod audio;
pub mod batch;
pub mod compare;
pub mod conversation;
pub mod delay;
mod engine;
pub mod error;
pub mod graph;
pub mod hash;
pub mod hear;
pub mod manifest;
pub mod mel;
pub mod noise;
pub mod omni;
pub mod output;
mod prefill;
pub mod prompt;
pub mod sampling;
pub mod scheduler;
pub mod speech;
pub mod stats;
pub mod task;
pub mod text;
pub mod trace;
pub mod turn;

pub use audio::Pcm;
pub use compare::compare;
pub use conversation::Conversation;
pub use error::{Error, Result};
pub use graph::{Provider, Runtime};
pub use manifest::Manifest;
pub use noise::Noise;
pub use omni::{Event, Omni, Options, Question};
pub use sampling::SamplingConfig;
pub use scheduler::{Busy, Limits, Scheduler};
pub use task::Task;
pub use trace::Trace;
