//! Is that speech, and where: between the sound that comes in and everything that costs time.
//!
//! ```text
//! Pcm 16 kHz ─level─▶ as loud as a voice ─frames─▶ [n, 576] ─Vad─▶ probabilities ─segments─▶ spans
//! Pcm 16 kHz ─echo─▶ without what is played ─Vad─▶ probabilities ─turns─▶ Heard
//!                                                                  └─meaning: is that complete?
//! ```
//!
//! `clip` does the first for a whole question, [`Listener`] the second for sound that is still coming.
//! All of it but the graphs `Vad` and `SmartTurn` is pure. `silero_vad.onnx` is Silero VAD v6
//! (MIT licence, Silero Team), the 16 kHz sequence form of PyPI's silero-vad 6.2.3; `smart_turn.onnx` is
//! Smart Turn v3.2 (BSD-2-Clause, Daily), of PyPI's pipecat-ai 1.14.0.

mod clip;
mod detector;
mod echo;
mod frames;
mod level;
mod listener;
mod meaning;
mod onset;
mod segments;
mod tape;
mod turns;

pub(crate) use clip::{Speech, speech};
pub use listener::{Heard, Listener, ListenerRules};

/// Hz: what the detector hears.
pub(crate) const SAMPLE_RATE: u32 = 16_000;
/// New samples of a frame: 32 ms.
pub(crate) const FRAME: usize = 512;
/// Samples of the frame before that it sees again.
pub(crate) const CONTEXT: usize = 64;

/// Samples of a number of milliseconds.
pub(crate) const fn samples(ms: usize) -> usize {
    ms * SAMPLE_RATE as usize / 1000
}
