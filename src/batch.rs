//! The answers that take a step together, and the rows they take it in.
//!
//! Each answer has one or two rows, in the order in which the answers came; a row has its own
//! length. Rows come and go between any two steps: then, and when a cache is full, the rows that
//! stay are copied once to a cache of the new shape. A step copies nothing.
//!
//! *In pairs*: ONNX Runtime's quantised kernels compute rows two by two, and a row without a partner
//! goes through another kernel, which rounds otherwise. Where what an answer says must not depend on
//! who is beside it, an empty row completes the last pair, and a head the last pair of heads; then
//! every row is computed alike, to the bit (measured on int4, int8 and fp32, fused profile).

use crate::answer::Answer;
use crate::error::Result;
use crate::graph::KvCache;
use crate::graph::decoder::{Call, Decoder, Logits};
use crate::trace::Millis;

/// Positions of the smallest cache.
const SMALLEST: usize = 256;

/// Positions to make room for where `needed` are in use and never more than `most` will be: half as
/// many again, so that a cache that grows by steps is seldom copied.
pub(crate) fn capacity(needed: usize, most: usize) -> usize {
    (needed + needed / 2).max(SMALLEST).min(most).max(needed)
}

/// Answers being written.
pub struct Batch<'a> {
    seats: Vec<Seat<'a>>,
    streams: usize,
    cache: Option<KvCache>,
    /// One row that has read nothing, to complete pairs with.
    partner: Option<KvCache>,
    /// The next call: ids [rows × streams], and the rows of each head.
    ids: Vec<i64>,
    text_rows: Vec<i64>,
    audio_rows: Vec<i64>,
}

/// An answer and its rows.
struct Seat<'a> {
    answer: Answer<'a>,
    /// Ids of the next step, [rows × streams].
    column: Vec<i64>,
    rows: Rows,
    /// Most positions a row of it will have.
    most: usize,
}

/// Where an answer's rows are.
enum Rows {
    /// To be copied from this cache's one row.
    Joining(Box<KvCache>),
    /// In the batch's cache, from this row on.
    From(usize),
}

impl<'a> Batch<'a> {
    /// No answers yet; `streams`: ids of a row. `partner`, a cache of one row that has read nothing,
    /// makes it compute in pairs.
    pub fn new(streams: usize, partner: Option<KvCache>) -> Batch<'a> {
        Batch {
            seats: Vec::new(),
            streams,
            cache: None,
            partner,
            ids: Vec::new(),
            text_rows: Vec::new(),
            audio_rows: Vec::new(),
        }
    }

    /// Answers in it.
    pub fn len(&self) -> usize {
        self.seats.len()
    }

    /// Whether there is nothing to step.
    pub fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    /// Whether every answer has a sound to wait for.
    pub(crate) fn all_speak(&self) -> bool {
        self.seats.iter().all(|seat| seat.answer.speaks())
    }

    /// Takes an answer in from the next step on. `prefilled`: one row that has read all but the last
    /// column of the prompt, and `None` to measure without a model; `marks`: that column, a row
    /// each; `most`: positions it can come to.
    pub fn join(
        &mut self,
        mut answer: Answer<'a>,
        prefilled: Option<KvCache>,
        marks: &[Vec<i64>],
        most: usize,
    ) {
        if !answer.goes_on() {
            return answer.finish();
        }
        self.seats.push(Seat {
            answer,
            column: marks.concat(),
            rows: prefilled.map_or(Rows::From(0), |cache| Rows::Joining(Box::new(cache))),
            most,
        });
    }

    /// Lets go of answers that nobody wants any more.
    pub(crate) fn drop_cancelled(&mut self) {
        self.seats.retain(|seat| !seat.answer.reply.is_cancelled());
    }

    /// Ends every answer, as `error` says.
    pub(crate) fn fail(&mut self, error: &crate::Error) {
        for seat in self.seats.drain(..) {
            seat.answer.reply.end(Err(error.again()));
        }
        self.cache = None;
    }

    /// One pass of the decoder over every row.
    pub(crate) fn step(&mut self, decoder: &mut Decoder) -> Result<()> {
        let start = std::time::Instant::now();
        self.seat_rows(decoder)?;
        let Some(mut cache) = self.cache.take() else {
            return Ok(());
        };
        let logits = decoder.run(&mut cache, self.call())?;
        self.accept(&logits, crate::omni::millis(start));
        self.cache = Some(cache).filter(|_| !self.seats.is_empty());
        Ok(())
    }

    /// Rows of the next step, the one that completes a pair included.
    fn rows(&self) -> usize {
        let rows = self.seats.iter().map(Seat::n_rows).sum::<usize>();
        match self.partner {
            Some(_) => rows.next_multiple_of(2),
            None => rows,
        }
    }

    /// Whether every answer's rows are where the next step has them, with room for it. The row that
    /// completes a pair may be any: one that has left will do.
    fn is_seated(&self) -> bool {
        let fits =
            |cache: &KvCache| cache.rows() == self.rows() && cache.longest() < cache.capacity();
        let mut next = 0;
        self.cache.as_ref().is_some_and(fits)
            && self.seats.iter().all(|seat| {
                let first = next;
                next += seat.n_rows();
                matches!(seat.rows, Rows::From(row) if row == first)
            })
    }

    /// Brings the cache's rows in line with the answers.
    fn seat_rows(&mut self, decoder: &Decoder) -> Result<()> {
        if self.is_seated() {
            return Ok(());
        }
        self.cache = match self.sole_newcomer() {
            Some(cache) => Some(cache),
            None if self.seats.is_empty() => None,
            None => Some(self.gather(decoder)?),
        };
        let mut row = 0;
        for seat in &mut self.seats {
            seat.rows = Rows::From(row);
            row += seat.n_rows();
        }
        Ok(())
    }

    /// The cache of a newcomer that is alone and has one row: it need not be copied.
    fn sole_newcomer(&mut self) -> Option<KvCache> {
        let [seat] = &mut self.seats[..] else {
            return None;
        };
        if self.partner.is_some() || seat.n_rows() != 1 || !matches!(seat.rows, Rows::Joining(_)) {
            return None;
        }
        match std::mem::replace(&mut seat.rows, Rows::From(0)) {
            Rows::Joining(cache) => Some(*cache),
            Rows::From(_) => None,
        }
    }

    fn gather(&self, decoder: &Decoder) -> Result<KvCache> {
        let mut rows = Vec::new();
        let mut needed = 0;
        for seat in &self.seats {
            for row in 0..seat.n_rows() {
                match (&seat.rows, &self.cache) {
                    (Rows::Joining(cache), _) => rows.push((&**cache, 0)),
                    (Rows::From(first), Some(cache)) => rows.push((cache, first + row)),
                    (Rows::From(_), None) => {}
                }
            }
        }
        if let Some(partner) = self.partner.as_ref().filter(|_| rows.len() % 2 == 1) {
            rows.push((partner, 0));
        }
        for (cache, row) in &rows {
            needed = needed.max(cache.length(*row) + 1);
        }
        let most = self.seats.iter().map(|seat| seat.most).max();
        decoder.gather(&rows, capacity(needed, most.unwrap_or(needed)))
    }

    /// The next step's ids and heads, row by row.
    pub fn call(&mut self) -> Call<'_> {
        self.ids.clear();
        self.text_rows.clear();
        self.audio_rows.clear();
        let mut first = 0;
        for seat in &self.seats {
            let heads = seat.answer.turn.heads();
            let row = |own: usize| (first + own) as i64;
            self.text_rows.extend(heads.text_row.map(row));
            self.audio_rows.extend(heads.audio_row.map(row));
            let n_rows = seat.n_rows();
            self.ids.extend(&seat.column[..n_rows * self.streams]);
            first += n_rows;
        }
        let rows = self.rows();
        self.ids.resize(rows * self.streams, 0);
        if self.partner.is_some() {
            complete_pair(&mut self.text_rows);
            complete_pair(&mut self.audio_rows);
        }
        Call {
            ids: &self.ids,
            seq: 1,
            features: None,
            text_rows: &self.text_rows,
            audio_rows: &self.audio_rows,
        }
    }

    /// Gives each answer the logits of its heads, and lets those go that ended; `took`: the pass.
    pub fn accept(&mut self, logits: &Logits, took: Millis) {
        let mut text = heads(logits.text, self.text_rows.len());
        let mut audio = heads(logits.audio, self.audio_rows.len());
        let ended = self.seats.extract_if(.., |seat| {
            let wanted = seat.answer.turn.heads();
            let text = wanted.text_row.and_then(|_| text.next());
            let audio = wanted.audio_row.and_then(|_| audio.next());
            !seat.accept(text, audio, took, self.streams)
        });
        ended.for_each(|seat| seat.answer.finish());
    }
}

impl Seat<'_> {
    /// Rows of its next step.
    fn n_rows(&self) -> usize {
        self.answer.turn.rows()
    }

    /// Takes a step's logits; whether there is a next step.
    fn accept(
        &mut self,
        text: Option<&[f32]>,
        audio: Option<&[f32]>,
        took: Millis,
        streams: usize,
    ) -> bool {
        let goes_on = self.answer.accept(text, audio, took);
        if goes_on {
            for (row, column) in self.column.chunks_exact_mut(streams).enumerate() {
                self.answer.turn.feed(row, column);
            }
        }
        goes_on
    }
}

/// Asks for the last head once more where its pair lacks one.
fn complete_pair(heads: &mut Vec<i64>) {
    if heads.len() % 2 == 1 {
        heads.extend_from_within(heads.len() - 1..);
    }
}

/// The logits of each of `n` heads.
fn heads(logits: &[f32], n: usize) -> impl Iterator<Item = &[f32]> {
    logits.chunks_exact((logits.len() / n.max(1)).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_grows_by_half_and_never_beyond_what_will_be_used() {
        assert_eq!(capacity(100, 2048), 256);
        assert_eq!(capacity(100, 120), 120);
        assert_eq!(capacity(257, 2048), 385);
        assert_eq!(capacity(2000, 2048), 2048);
    }
}
