//! A turn's sound to the probability that it is over: smart-turn, built into this binary.

use ndarray::{ArrayView2, Axis};
use ort::session::Session;
use ort::value::TensorRef;

use super::runtime::Runtime;
use super::session;
use crate::error::Result;

/// The graph: `NOTICE` says where it is from.
const GRAPH: &[u8] = include_bytes!("../hearing/smart_turn.onnx");

/// The turn-end graph. It remembers nothing.
pub(crate) struct SmartTurn {
    session: Session,
}

impl SmartTurn {
    /// Opens the built-in graph (0.1 s).
    pub fn open(runtime: &Runtime) -> Result<SmartTurn> {
        Ok(SmartTurn {
            session: session::open_built_in(runtime, "turn end", GRAPH)?,
        })
    }

    /// The probability that the turn is over, from the mel [80, 800] of its last 8 s.
    pub fn probability(&mut self, mel: ArrayView2<f32>) -> Result<f32> {
        self.run(mel)
            .map_err(|source| session::failed("turn end", source))
    }

    fn run(&mut self, mel: ArrayView2<f32>) -> ort::Result<f32> {
        let mel = mel.insert_axis(Axis(0));
        let mel = mel.as_standard_layout();
        let outputs = self.session.run(ort::inputs! {
            "input_features" => TensorRef::from_array_view(mel.view())?,
        })?;
        // The graph calls them logits; they are behind its sigmoid.
        let probabilities = session::output(&outputs, "logits")?.try_extract_array::<f32>()?;
        Ok(probabilities.iter().next().copied().unwrap_or(0.0))
    }
}
