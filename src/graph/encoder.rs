//! Mel to audio features: the Whisper encoder with the adapter behind it.

use std::path::Path;

use ndarray::{Array2, ArrayView2};
use ort::session::Session;
use ort::value::{Tensor, TensorRef};

use super::inside::Inside;
use super::runtime::Runtime;
use super::session::{self, SessionOptions};
use crate::error::Result;
use crate::model::manifest::Manifest;

/// The positions of the encoder, for a graph that computes the merged window.
#[derive(Debug, Clone, PartialEq)]
pub struct Positions {
    /// [positions]: the row of the convolutions that each position has.
    pub rows: Vec<i64>,
    /// [kept]: those that are computed, in order; the first n_features for themselves.
    pub kept: Vec<i64>,
    /// [kept]: the logarithm of how many positions each stands for.
    pub log_counts: Vec<f32>,
}

/// The encoder graph.
pub struct Encoder {
    session: Session,
    frames_per_feature: usize,
    n_embd: usize,
    /// What it was opened to hand out.
    pub inside: Inside,
}

impl Encoder {
    /// Opens the encoder of the model in `folder`.
    pub fn open(runtime: &Runtime, folder: &Path, manifest: &Manifest) -> Result<Encoder> {
        Encoder::open_inside(runtime, folder, manifest, &[])
    }

    /// The same, to hand out the values `names` inside it.
    pub fn open_inside(
        runtime: &Runtime,
        folder: &Path,
        manifest: &Manifest,
        names: &[String],
    ) -> Result<Encoder> {
        let options = SessionOptions {
            threads: runtime.threads(),
            spin: false,
            arena: false,
        };
        Ok(Encoder {
            session: session::open(runtime, (folder, &manifest.graphs.encoder), options, names)?,
            inside: Inside::of(names),
            frames_per_feature: manifest.mel.frames_per_feature,
            n_embd: manifest.decoder.n_embd,
        })
    }

    /// AudioFeatures [n_features, n_embd] of a mel [n_mels, frames]; at most
    /// frames / frames_per_feature of them. `positions` where the model has a merged window.
    pub fn encode(
        &mut self,
        mel: ArrayView2<f32>,
        n_features: usize,
        positions: Option<&Positions>,
    ) -> Result<Array2<f32>> {
        debug_assert!(n_features <= mel.ncols() / self.frames_per_feature);
        self.run(mel, n_features, positions)
            .map_err(|source| session::failed("encoder", source))
    }

    fn run(
        &mut self,
        mel: ArrayView2<f32>,
        n_features: usize,
        positions: Option<&Positions>,
    ) -> ort::Result<Array2<f32>> {
        let mel = mel.insert_axis(ndarray::Axis(0));
        let mel = mel.as_standard_layout();
        let mut inputs = ort::inputs! {
            "mel" => TensorRef::from_array_view(mel.view())?,
            "n_features" => Tensor::from_array(([1], vec![n_features as i64]))?,
        };
        if let Some(positions) = positions {
            let (rows, kept) = (&positions.rows[..], &positions.kept[..]);
            let counts = &positions.log_counts[..];
            inputs.extend(ort::inputs! {
                "rows" => TensorRef::from_array_view(([rows.len()], rows))?,
                "kept" => TensorRef::from_array_view(([kept.len()], kept))?,
                "log_counts" => TensorRef::from_array_view(([counts.len()], counts))?,
            });
        }
        let outputs = self.session.run(inputs)?;
        self.inside.keep(&outputs);
        let name = "audio_features";
        let (shape, values) = session::output(&outputs, name)?.try_extract_tensor::<f32>()?;
        session::hold_shape(name, shape, &[n_features, self.n_embd])?;
        Array2::from_shape_vec((n_features, self.n_embd), values.to_vec())
            .map_err(|e| ort::Error::new(e.to_string()))
    }
}
