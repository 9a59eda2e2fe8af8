//! Reading a prompt: all that its rows share, at batch 1, whole or in pieces.
//!
//! The rows of a task differ in the last column alone; that column, the marks, is the first step of
//! the answer. In pieces, a newcomer's prompt is read between the steps of running conversations;
//! pieces are of whole pairs and none of one column, so that the cutting hardly matters (`batch` says
//! why; in 8 bits one id in hundreds was another one). A conversation whose oldest turns were
//! forgotten is read again in front of its question, each part cut as it was read the first time.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::capacity::capacity;
use super::front_end::Prepared;
use super::memory::{Kept, Memory, Turn};
use super::sink::Sink;
use crate::ask::millis;
use crate::decoding::prompt::FEATURES_START;
use crate::error::Result;
use crate::graph::{Call, Decoder, DecoderRows, Features, Heard, KvCache};

/// A prompt being read.
pub(crate) struct Prefill {
    pub prepared: Prepared,
    /// What is read again before it.
    again: VecDeque<Part>,
    rows: DecoderRows,
    /// Columns read so far of the part that comes next.
    read: usize,
}

/// A part of an earlier turn.
struct Part {
    /// [streams][columns].
    ids: Vec<Vec<i64>>,
    /// The turn whose features belong to it, if it is a spoken question.
    spoken: Option<Arc<Turn>>,
    /// Columns at its end that complete a pair and are forgotten at once.
    spare: usize,
}

impl Prefill {
    /// Begins to read behind `memory`, what the conversation has read before, or behind nothing.
    pub fn new(decoder: &Decoder, prepared: Prepared, memory: Option<&Memory>) -> Result<Prefill> {
        let past = memory.map_or(0, Memory::position);
        let row = memory.and_then(Memory::row);
        let length = past + prepared.prompt.columns();
        let capacity = capacity(length, length + prepared.steps);
        let (cache, again) = match (row, memory) {
            (Some(row), _) => {
                let mut cache = decoder.gather(&[(row, 0)], capacity.max(row.length(0)))?;
                decoder.forget(&mut cache, past)?;
                (cache, VecDeque::new())
            }
            (None, memory) => {
                let turns = memory.map_or(&[][..], Memory::record);
                (
                    decoder.cache(1, capacity)?,
                    turns.iter().flat_map(parts).collect(),
                )
            }
        };
        Ok(Prefill {
            rows: decoder.rows(cache),
            prepared,
            again,
            read: 0,
        })
    }

    /// Reads about `columns` more; whether all was read. `sink` notes the time.
    pub fn advance(&mut self, decoder: &mut Decoder, columns: usize, sink: &Sink) -> Result<bool> {
        let start = Instant::now();
        let (ids, features, spare) = match self.again.front() {
            Some(part) => (&part.ids, part.features(), part.spare),
            None => {
                let prepared = &self.prepared;
                (&prepared.prompt.shared, prepared.features.as_ref(), 0)
            }
        };
        let length = ids[0].len();
        let end = self.read + piece(columns, length - self.read);
        read(decoder, &mut self.rows, ids, features, self.read..end)?;
        self.read = end;
        let done = end == length && self.again.is_empty();
        if end == length && self.again.pop_front().is_some() {
            self.read = 0;
            let position = self.rows.cache.length(0) - spare;
            decoder.forget(&mut self.rows.cache, position)?;
        }
        sink.time(|timings| timings.prefill += millis(start.elapsed()));
        Ok(done)
    }

    /// The question and the row its answer starts from.
    pub fn finish(self) -> (Prepared, KvCache) {
        (self.prepared, self.rows.cache)
    }
}

/// Reads a range of the columns `ids` [streams][columns], with the features that fall into it.
fn read(
    decoder: &mut Decoder,
    rows: &mut DecoderRows,
    ids: &[Vec<i64>],
    features: Option<&Features>,
    range: Range<usize>,
) -> Result<()> {
    let piece: Vec<i64> = ids
        .iter()
        .flat_map(|stream| &stream[range.clone()])
        .copied()
        .collect();
    // The features that fall into this piece, and where in it they start.
    let n_features = features.map_or(0, Features::n);
    let first = range.start.max(FEATURES_START);
    let last = range.end.min(FEATURES_START + n_features);
    let call = Call {
        ids: &piece,
        seq: range.len(),
        features: features.filter(|_| first < last).map(|features| Heard {
            features,
            first: first - FEATURES_START,
            n: last - first,
            start: first - range.start,
        }),
        text_rows: &[],
        audio_rows: &[],
    };
    decoder.run(rows, call)
}

/// The question of a turn, then its answer, as far as they are remembered.
fn parts(kept: &Kept) -> impl Iterator<Item = Part> + use<> {
    let turn = &kept.turn;
    let streams = turn.question.len();
    let asked = turn.question[0].len().min(kept.columns);
    let answered = kept.columns - asked;
    let question = Part {
        ids: turn
            .question
            .iter()
            .map(|ids| ids[..asked].to_vec())
            .collect(),
        spoken: turn.features.is_some().then(|| turn.clone()),
        spare: 0,
    };
    // The answer was read in steps, which compute in pairs.
    let spare = answered % 2;
    let column = |at: usize| at.min(answered - 1) * streams;
    let answer = Part {
        ids: (0..streams)
            .map(|stream| {
                let ids = (0..answered + spare).map(|at| turn.answer[column(at) + stream]);
                ids.collect()
            })
            .collect(),
        spoken: None,
        spare,
    };
    [question, answer]
        .into_iter()
        .filter(|part| !part.ids[0].is_empty())
}

impl Part {
    fn features(&self) -> Option<&Features> {
        self.spoken.as_ref()?.features.as_ref()
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
