//! Inputs and outputs of the decoder, logits included, that keep their memory between calls of one
//! shape.

use ndarray::{ArrayView2, s};
use ort::session::{IoBinding, Session};
use ort::value::Tensor;

use super::call::Call;
use super::features::Placing;
use super::likeliest::Choice;
use super::place::{Input, Output, Place};
use super::session::zeros;
use crate::model::manifest::SpecialIds;

/// What a call's tensors depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    pub rows: usize,
    pub seq: usize,
    pub text_rows: Vec<i64>,
    pub audio_rows: Vec<i64>,
}

impl Shape {
    pub fn of(rows: usize, call: &Call) -> Shape {
        Shape {
            rows,
            seq: call.seq,
            text_rows: call.text_rows.to_vec(),
            audio_rows: call.audio_rows.to_vec(),
        }
    }

    /// Whether a call over `rows` rows has this shape.
    pub fn fits(&self, rows: usize, call: &Call) -> bool {
        self.rows == rows
            && self.seq == call.seq
            && self.text_rows == call.text_rows
            && self.audio_rows == call.audio_rows
    }
}

/// The tensors of a call, and the binding that names them.
pub(super) struct Buffers {
    pub binding: IoBinding,
    pub shape: Shape,
    pub ids: Input<i64>,
    /// On a device zeros: features are bound in their place.
    pub features: Input<f32>,
    pub feature_mask: Input<f32>,
    pub seqlens_k: Input<i32>,
    /// Read by ONNX Runtime's host side on every device.
    pub total: Tensor<i32>,
    pub text_rows: Input<i64>,
    pub audio_rows: Input<i64>,
    pub text_logits: Output<f32>,
    pub audio_logits: Output<f32>,
    /// Of the likeliest ids, where a device makes it.
    pub choice: Option<Choice>,
    /// Whether the last call had features.
    heard: bool,
    /// What names the recording of its run on a GPU.
    pub recorded: Option<usize>,
}

impl Buffers {
    /// Allocates all of a call's shape; nothing is bound yet.
    pub fn new(
        place: &Place,
        session: &Session,
        ids: &SpecialIds,
        n_embd: usize,
        shape: Shape,
    ) -> ort::Result<Buffers> {
        let (rows, seq) = (shape.rows, shape.seq);
        let (n_text, n_audio) = (shape.text_rows.len(), shape.audio_rows.len());
        let audio = [n_audio, ids.audio_streams, ids.audio_vocab_size];
        let mut text_rows = Input::zeros(place, session, &[n_text])?;
        text_rows.write(|rows| rows.copy_from_slice(&shape.text_rows))?;
        let mut audio_rows = Input::zeros(place, session, &[n_audio])?;
        audio_rows.write(|rows| rows.copy_from_slice(&shape.audio_rows))?;
        Ok(Buffers {
            binding: session.create_binding()?,
            ids: Input::zeros(place, session, &[rows, ids.streams(), seq])?,
            features: Input::zeros(place, session, &[rows, seq, n_embd])?,
            feature_mask: Input::zeros(place, session, &[rows, seq, 1])?,
            seqlens_k: Input::zeros(place, session, &[rows])?,
            total: zeros(&[])?,
            text_rows,
            audio_rows,
            text_logits: Output::new(place, session, &[n_text, ids.text_vocab_size])?,
            audio_logits: Output::new(place, session, &audio)?,
            choice: None,
            heard: false,
            recorded: None,
            shape,
        })
    }

    /// Fills the inputs; `lengths`: positions each row has read before. `placing` puts features where
    /// a device has them.
    pub fn write(
        &mut self,
        lengths: &[usize],
        call: &Call,
        placing: Option<&mut Placing>,
    ) -> ort::Result<()> {
        self.ids.write(|ids| ids.copy_from_slice(call.ids))?;
        // A binding may serve a question with features and then one without.
        if self.heard || call.features.is_some() {
            self.write_features(call, placing)?;
            self.heard = call.features.is_some();
        }
        self.seqlens_k.write(|seqlens| {
            for (seqlen, length) in seqlens.iter_mut().zip(lengths) {
                *seqlen = (length + call.seq) as i32 - 1;
            }
        })?;
        let longest = lengths.iter().max().copied().unwrap_or(0);
        self.total.extract_tensor_mut().1[0] = (longest + call.seq) as i32;
        Ok(())
    }

    fn write_features(&mut self, call: &Call, placing: Option<&mut Placing>) -> ort::Result<()> {
        let heard = call.features;
        self.feature_mask.write(|mask| {
            mask.fill(0.0);
            if let Some(heard) = heard {
                mask[heard.start..heard.start + heard.n].fill(1.0);
            }
        })?;
        match (heard, placing) {
            (Some(heard), Some(placing)) => {
                let columns = (heard.start, call.seq);
                let there = placing.columns(heard.features, heard.rows(), columns)?;
                self.binding.bind_input("audio_features", &there)
            }
            (None, Some(_)) => {
                let zeros = self.features.bound();
                self.binding.bind_input("audio_features", zeros)
            }
            (Some(heard), None) => {
                let mut written = Ok(());
                heard.features.on_host(|features| {
                    let features = features.slice_move(s![heard.rows(), ..]);
                    written = self.features.write(|to| copy(&features, to, heard.start));
                })?;
                written
            }
            (None, None) => Ok(()),
        }
    }
}

/// Writes features into the columns from `start` on.
fn copy(features: &ArrayView2<f32>, to: &mut [f32], start: usize) {
    let to = to[start * features.ncols()..].iter_mut();
    to.zip(features).for_each(|(to, &value)| *to = value);
}
