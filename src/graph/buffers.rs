//! Inputs and outputs of the decoder, logits included, that keep their memory between calls of one
//! shape.

use ndarray::ArrayView2;
use ort::session::{IoBinding, Session};
use ort::value::Tensor;

use super::call::Call;
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
    pub ids: Tensor<i64>,
    pub features: Tensor<f32>,
    pub feature_mask: Tensor<f32>,
    pub seqlens_k: Tensor<i32>,
    pub total: Tensor<i32>,
    pub text_rows: Tensor<i64>,
    pub audio_rows: Tensor<i64>,
    pub text_logits: Tensor<f32>,
    pub audio_logits: Tensor<f32>,
}

impl Buffers {
    /// Allocates all of a call's shape; nothing is bound yet.
    pub fn new(
        session: &Session,
        ids: &SpecialIds,
        n_embd: usize,
        shape: Shape,
    ) -> ort::Result<Buffers> {
        let (rows, seq) = (shape.rows, shape.seq);
        let audio = [
            shape.audio_rows.len(),
            ids.audio_streams,
            ids.audio_vocab_size,
        ];
        Ok(Buffers {
            binding: session.create_binding()?,
            ids: zeros(&[rows, ids.streams(), seq])?,
            features: zeros(&[rows, seq, n_embd])?,
            feature_mask: zeros(&[rows, seq, 1])?,
            seqlens_k: zeros(&[rows])?,
            total: zeros(&[])?,
            text_rows: rows_tensor(&shape.text_rows)?,
            audio_rows: rows_tensor(&shape.audio_rows)?,
            text_logits: zeros(&[shape.text_rows.len(), ids.text_vocab_size])?,
            audio_logits: zeros(&audio)?,
            shape,
        })
    }

    /// Fills the inputs; `lengths`: positions each row has read before.
    pub fn write(&mut self, lengths: &[usize], call: &Call) {
        self.ids.extract_tensor_mut().1.copy_from_slice(call.ids);
        // A binding may serve a question with features and then one without.
        self.feature_mask.extract_tensor_mut().1.fill(0.0);
        if let Some((start, features)) = call.features {
            self.write_features(start, features);
        }
        let seqlens = self.seqlens_k.extract_tensor_mut().1;
        for (seqlen, length) in seqlens.iter_mut().zip(lengths) {
            *seqlen = (length + call.seq) as i32 - 1;
        }
        let longest = seqlens.iter().max().copied().unwrap_or(0);
        self.total.extract_tensor_mut().1[0] = longest + 1;
    }

    fn write_features(&mut self, start: usize, features: ArrayView2<f32>) {
        let width = features.ncols();
        let target = self.features.extract_tensor_mut().1;
        for (row, feature) in features.rows().into_iter().enumerate() {
            let at = (start + row) * width;
            target[at..at + width]
                .iter_mut()
                .zip(feature)
                .for_each(|(t, &v)| *t = v);
        }
        self.feature_mask.extract_tensor_mut().1[start..start + features.nrows()].fill(1.0);
    }
}

fn rows_tensor(rows: &[i64]) -> ort::Result<Tensor<i64>> {
    let mut tensor = zeros(&[rows.len()])?;
    tensor.extract_tensor_mut().1.copy_from_slice(rows);
    Ok(tensor)
}
