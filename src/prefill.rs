//! Reading a prompt: all that its rows share, at batch 1, whole or in pieces.
//!
//! The rows of a task differ in the last column alone; that column, the marks, is the first step of
//! the answer. In pieces, a newcomer's prompt is read between the steps of running conversations;
//! pieces are of whole pairs and none of one column, so that any cutting reads the same to the bit
//! ([`crate::batch`] says why).

use std::time::Instant;

use ndarray::s;

use crate::batch;
use crate::error::Result;
use crate::graph::KvCache;
use crate::graph::decoder::{Call, Decoder};
use crate::hear::Heard;
use crate::omni::millis;
use crate::prompt::FEATURES_START;

/// A prompt being read.
pub(crate) struct Prefill {
    pub heard: Heard,
    cache: KvCache,
    /// Shared columns read so far.
    read: usize,
}

impl Prefill {
    pub fn new(decoder: &Decoder, heard: Heard) -> Result<Prefill> {
        let length = heard.prompt.len();
        let capacity = batch::capacity(length, length + heard.steps);
        Ok(Prefill {
            cache: decoder.cache(1, capacity)?,
            heard,
            read: 0,
        })
    }

    /// Reads about `columns` more; whether all was read.
    pub fn advance(&mut self, decoder: &mut Decoder, columns: usize) -> Result<bool> {
        let start = Instant::now();
        let shared = &self.heard.prompt.shared;
        let length = shared[0].len();
        let end = self.read + piece(columns, length - self.read);
        let ids: Vec<i64> = shared
            .iter()
            .flat_map(|stream| &stream[self.read..end])
            .copied()
            .collect();
        // The features that fall into this piece, and where in it they start.
        let n_features = self.heard.prompt.n_features;
        let first = self.read.max(FEATURES_START);
        let last = end.min(FEATURES_START + n_features);
        let features = self.heard.features.as_ref().filter(|_| first < last);
        let call = Call {
            ids: &ids,
            seq: end - self.read,
            features: features.map(|f| {
                let rows = first - FEATURES_START..last - FEATURES_START;
                (first - self.read, f.slice(s![rows, ..]))
            }),
            text_rows: &[],
            audio_rows: &[],
        };
        decoder.run(&mut self.cache, call)?;
        self.read = end;
        self.heard.timings.prefill += millis(start);
        Ok(end == length)
    }

    /// The question and the row its answer starts from.
    pub fn finish(self) -> (Heard, KvCache) {
        (self.heard, self.cache)
    }
}

/// Columns of the next piece, where `columns` are wanted and `rest` are left: even, unless it is the
/// last, and not one short of the end.
fn piece(columns: usize, rest: usize) -> usize {
    let even = columns.clamp(1, rest.max(1)).next_multiple_of(2);
    if even + 1 >= rest { rest } else { even }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_whole_pairs_and_never_one_column() {
        for columns in [0, 1, 2, 7, 16, usize::MAX] {
            for length in 2..40 {
                let (mut read, mut pieces) = (0, Vec::new());
                while read < length {
                    pieces.push(piece(columns, length - read));
                    read += pieces[pieces.len() - 1];
                }
                assert_eq!(read, length);
                assert!(pieces.iter().all(|&n| n > 1), "{columns} of {length}");
                let last = pieces.len() - 1;
                assert!(pieces[..last].iter().all(|n| n % 2 == 0));
            }
        }
    }
}
