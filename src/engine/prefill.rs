//! Reading a prompt: all that its rows share, at batch 1, whole or in pieces.
//!
//! The rows of a task differ in the last column alone; that column, the marks, is the first step of
//! the answer. In pieces, a newcomer's prompt is read between the steps of running conversations;
//! pieces are of whole pairs and none of one column, so that any cutting reads the same to the bit
//! (`batch` says why).

use std::time::Instant;

use ndarray::s;

use super::capacity::capacity;
use super::front_end::Prepared;
use super::memory::Memory;
use super::sink::Sink;
use crate::ask::millis;
use crate::decoding::prompt::FEATURES_START;
use crate::error::Result;
use crate::graph::{Call, Decoder, DecoderRows, KvCache};

/// A prompt being read.
pub(crate) struct Prefill {
    pub prepared: Prepared,
    rows: DecoderRows,
    /// Shared columns read so far.
    read: usize,
}

impl Prefill {
    /// Begins to read behind `memory`, what the conversation has read before, or behind nothing.
    pub fn new(decoder: &Decoder, prepared: Prepared, memory: Option<&Memory>) -> Result<Prefill> {
        let past = memory.map_or(0, Memory::position);
        let length = past + prepared.prompt.columns();
        let capacity = capacity(length, length + prepared.steps);
        let cache = match memory {
            Some(memory) => decoder.gather(&[(&memory.0, 0)], capacity)?,
            None => decoder.cache(1, capacity)?,
        };
        Ok(Prefill {
            rows: decoder.rows(cache),
            prepared,
            read: 0,
        })
    }

    /// Reads about `columns` more; whether all was read. `sink` notes the time.
    pub fn advance(&mut self, decoder: &mut Decoder, columns: usize, sink: &Sink) -> Result<bool> {
        let start = Instant::now();
        let shared = &self.prepared.prompt.shared;
        let length = shared[0].len();
        let end = self.read + piece(columns, length - self.read);
        let ids: Vec<i64> = shared
            .iter()
            .flat_map(|stream| &stream[self.read..end])
            .copied()
            .collect();
        // The features that fall into this piece, and where in it they start.
        let n_features = self.prepared.prompt.n_features;
        let first = self.read.max(FEATURES_START);
        let last = end.min(FEATURES_START + n_features);
        let features = self.prepared.features.as_ref().filter(|_| first < last);
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
        decoder.run(&mut self.rows, call)?;
        self.read = end;
        sink.time(|timings| timings.prefill += millis(start.elapsed()));
        Ok(end == length)
    }

    /// The question and the row its answer starts from.
    pub fn finish(self) -> (Prepared, KvCache) {
        (self.prepared, self.rows.cache)
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
