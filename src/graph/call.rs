//! What one pass of the decoder is given, and what it says.

use std::ops::Range;

use super::features::Features;

/// One call: which ids go in, which rows get a head.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// [rows, streams, seq], flat.
    pub ids: &'a [i64],
    pub seq: usize,
    pub features: Option<Heard<'a>>,
    /// Rows whose last position gets the text head.
    pub text_rows: &'a [i64],
    /// Rows whose last position gets the audio heads.
    pub audio_rows: &'a [i64],
}

/// Audio features that replace the audio streams' embeddings from a column on.
#[derive(Clone, Copy)]
pub struct Heard<'a> {
    pub features: &'a Features,
    /// The first of them, and how many.
    pub first: usize,
    pub n: usize,
    /// The column of the first.
    pub start: usize,
}

impl Heard<'_> {
    pub fn rows(&self) -> Range<usize> {
        self.first..self.first + self.n
    }
}

/// What the heads said.
#[derive(Debug)]
pub struct Logits<'a> {
    /// [text rows, text vocabulary].
    pub text: &'a [f32],
    /// [audio rows, audio streams, audio vocabulary].
    pub audio: &'a [f32],
}

/// The likeliest id of each stream, or [`NOT_FINITE`](super::NOT_FINITE) where logits are no numbers.
#[derive(Debug)]
pub struct Ids {
    /// [text rows].
    pub text: Vec<i64>,
    /// [audio rows, audio streams].
    pub audio: Vec<i64>,
}

/// The first ids that each head may choose from, one a head.
#[derive(Debug, Default)]
pub struct Limits {
    pub text: Vec<i64>,
    pub audio: Vec<i64>,
}
