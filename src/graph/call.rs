//! What one pass of the decoder is given, and what it says.

use ndarray::ArrayView2;

/// One call: which ids go in, which rows get a head.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// [rows, streams, seq], flat.
    pub ids: &'a [i64],
    pub seq: usize,
    /// Audio features that replace the audio streams' embeddings from a column on.
    pub features: Option<(usize, ArrayView2<'a, f32>)>,
    /// Rows whose last position gets the text head.
    pub text_rows: &'a [i64],
    /// Rows whose last position gets the audio heads.
    pub audio_rows: &'a [i64],
}

/// What the heads said.
#[derive(Debug)]
pub struct Logits<'a> {
    /// [text rows, text vocabulary].
    pub text: &'a [f32],
    /// [audio rows, audio streams, audio vocabulary].
    pub audio: &'a [f32],
}
