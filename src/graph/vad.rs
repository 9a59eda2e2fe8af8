//! Sound to the probability of speech: Silero VAD, built into this binary.
//!
//! It takes frames of 512 samples at 16 kHz, each behind the last 64 of the one before, and
//! remembers what it has heard in an LSTM. One call takes as many frames as there are, and says the
//! same as one call a frame.

use ndarray::{Array2, ArrayView2};
use ort::session::Session;
use ort::value::{Tensor, TensorRef};

use super::runtime::Runtime;
use super::session;
use crate::error::Result;

/// The graph: `NOTICE` says where it is from.
const GRAPH: &[u8] = include_bytes!("../hearing/silero_vad.onnx");
/// Width of the LSTM.
const WIDTH: usize = 128;

/// The voice activity detector's graph, and what it remembers.
pub(crate) struct Vad {
    session: Session,
    /// [1, 128] each.
    hidden: Array2<f32>,
    cell: Array2<f32>,
}

impl Vad {
    /// Opens the built-in graph, which runs on one thread of the processor whatever the provider.
    pub fn open(runtime: &Runtime) -> Result<Vad> {
        Ok(Vad {
            session: session::open_built_in(runtime, "voice activity", GRAPH)?,
            hidden: Array2::zeros((1, WIDTH)),
            cell: Array2::zeros((1, WIDTH)),
        })
    }

    /// Forgets what it has heard.
    pub fn reset(&mut self) {
        self.hidden.fill(0.0);
        self.cell.fill(0.0);
    }

    /// The probability of speech in each of `frames` [n, 64 + 512], which follow those it has heard.
    pub fn probabilities(&mut self, frames: ArrayView2<f32>) -> Result<Vec<f32>> {
        if frames.is_empty() {
            return Ok(Vec::new());
        }
        self.run(frames)
            .map_err(|source| session::failed("voice activity", source))
    }

    fn run(&mut self, frames: ArrayView2<f32>) -> ort::Result<Vec<f32>> {
        let state = |values: &Array2<f32>| {
            Tensor::from_array(([1, 1, WIDTH], values.iter().copied().collect::<Vec<_>>()))
        };
        let frames = frames.as_standard_layout();
        let outputs = self.session.run(ort::inputs! {
            "input" => TensorRef::from_array_view(frames.view())?,
            "h" => state(&self.hidden)?,
            "c" => state(&self.cell)?,
        })?;
        for (name, kept) in [("hn", &mut self.hidden), ("cn", &mut self.cell)] {
            let values = outputs[name].try_extract_array::<f32>()?;
            kept.iter_mut()
                .zip(values.iter())
                .for_each(|(to, from)| *to = *from);
        }
        let probabilities = outputs["speech_probs"].try_extract_array::<f32>()?;
        Ok(probabilities.iter().copied().collect())
    }
}
