//! Mel to audio features: the Whisper encoder with the adapter behind it.

use std::path::Path;

use ndarray::ArrayView2;
use ort::session::Session;
use ort::value::Tensor;

use super::features::Features;
use super::inside::Inside;
use super::mover::taken_out;
use super::place::Place;
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
    place: Place,
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
            replayed: false,
        };
        Ok(Encoder {
            session: session::open(runtime, (folder, &manifest.graphs.encoder), options, names)?,
            place: runtime.place(),
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
    ) -> Result<Features> {
        debug_assert!(n_features <= mel.ncols() / self.frames_per_feature);
        self.run(mel, n_features, positions)
            .map_err(|source| session::failed("encoder", source))
    }

    fn run(
        &mut self,
        mel: ArrayView2<f32>,
        n_features: usize,
        positions: Option<&Positions>,
    ) -> ort::Result<Features> {
        let mel = mel.insert_axis(ndarray::Axis(0));
        let mel = Tensor::from_array(mel.as_standard_layout().into_owned())?;
        let mut binding = self.session.create_binding()?;
        let place = &self.place;
        place.bind(&mut binding, "mel", &mel)?;
        place.bind_row(&mut binding, "n_features", &[n_features as i64])?;
        if let Some(positions) = positions {
            place.bind_row(&mut binding, "rows", &positions.rows)?;
            place.bind_row(&mut binding, "kept", &positions.kept)?;
            place.bind_row(&mut binding, "log_counts", &positions.log_counts)?;
        }
        let name = "audio_features";
        binding.bind_output_to_device(name, &self.place.info()?)?;
        self.inside.bind(&mut binding)?;
        let mut outputs = self.session.run_binding(&binding)?;
        self.inside.keep(&outputs);
        let features: Tensor<f32> = taken_out(&mut outputs, name)?.downcast()?;
        session::hold_shape(name, features.shape(), &[n_features, self.n_embd])?;
        Ok(Features::new(features, &self.place))
    }
}
