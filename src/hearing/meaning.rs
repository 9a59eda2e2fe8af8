//! Does that sound complete? What a person says is over before their pause is long.
//!
//! The graph is smart-turn v3.2 (BSD-2, Daily), `smart_turn.onnx` of PyPI's pipecat-ai 1.14.0. It
//! hears the last 8 s of a turn, the pause included: a mel spectrogram as Whisper's, of samples
//! brought to mean 0 and variance 1, with silence before a turn that is shorter.

use std::sync::{Arc, Mutex, PoisonError};

use ndarray::Array2;

use super::SAMPLE_RATE;
use crate::audio::mel::MelSpectrogram;
use crate::error::Result;
use crate::graph::{Runtime, SmartTurn};
use crate::model::manifest::MelDims;

/// Whisper's spectrogram, over 8 s.
const MEL: MelDims = MelDims {
    sample_rate: SAMPLE_RATE,
    n_fft: 400,
    hop_length: 160,
    n_mels: 80,
    max_seconds: 8,
    frames_per_feature: 2,
    feature_ms: 20,
};
/// Samples that the graph hears.
pub(super) const HEARD: usize = MEL.max_seconds * SAMPLE_RATE as usize;
/// Frames of the spectrogram.
const FRAMES: usize = HEARD / MEL.hop_length;
/// Keeps silence from being divided by 0.
const LEAST_VARIANCE: f64 = 1e-7;

/// Judges whether a turn is over.
pub(super) struct Meaning {
    graph: Arc<Mutex<SmartTurn>>,
    mel: MelSpectrogram,
}

impl Meaning {
    pub fn open(runtime: &Runtime) -> Result<Meaning> {
        Ok(Meaning {
            graph: SmartTurn::shared(runtime)?,
            mel: MelSpectrogram::new(&MEL),
        })
    }

    /// The probability that a turn of these samples is over.
    pub fn complete(&self, turn: &[f32]) -> Result<f32> {
        let mel = features(&self.mel, turn);
        let mut graph = self.graph.lock().unwrap_or_else(PoisonError::into_inner);
        graph.probability(mel.view())
    }
}

/// Mel [80, 800] of the last 8 s of `turn`.
fn features(mel: &MelSpectrogram, turn: &[f32]) -> Array2<f32> {
    mel.compute(&normalised(turn), FRAMES)
}

/// The last [`HEARD`] samples, with silence before them where there are fewer, at mean 0 and
/// variance 1.
fn normalised(turn: &[f32]) -> Vec<f32> {
    let turn = &turn[turn.len().saturating_sub(HEARD)..];
    let sum = |value: fn(f64) -> f64| turn.iter().map(|&x| value(f64::from(x))).sum::<f64>();
    let mean = sum(|x| x) / HEARD as f64;
    let variance = sum(|x| x * x) / HEARD as f64 - mean * mean;
    let scale = (variance + LEAST_VARIANCE).sqrt();
    let silence = std::iter::repeat_n(0.0, HEARD - turn.len());
    let heard = silence.chain(turn.iter().copied());
    heard
        .map(|x| ((f64::from(x) - mean) / scale) as f32)
        .collect()
}
