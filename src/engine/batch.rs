//! The answers that take a step together, and the rows they take it in.
//!
//! Each answer has one or two rows, in the order in which the answers came; a row has its own
//! length. Rows come and go between any two steps: then, and when a cache is full, the rows that
//! stay are copied once to a cache of the new shape. A step copies nothing.
//!
//! *In pairs*: ONNX Runtime's quantised kernels compute rows two by two, and a row without a partner
//! goes through another kernel, which rounds otherwise. Where what an answer says must not depend on
//! who is beside it, an empty row completes the last pair, and a head the last pair of heads; then
//! every row of a step is computed alike, to the bit (measured on int4, int8 and fp32, fused profile).

use std::time::Instant;

use super::capacity::capacity;
use super::memory::Reading;
use super::writer::Writer;
use crate::ask::{Millis, millis};
use crate::decoding::generation::{HeadIds, HeadLogits, Heads, Said, Step};
use crate::error::{Error, Result};
use crate::graph::{Call, Decoder, DecoderRows, Ids, KvCache, Limits, Logits};

/// Answers being written.
pub(crate) struct Batch<'a> {
    slots: Vec<Slot<'a>>,
    streams: usize,
    rows: Option<DecoderRows>,
    /// One row that has read nothing, to complete pairs with.
    partner: Option<KvCache>,
    /// The next call: ids [rows × streams], and the rows of each head.
    ids: Vec<i64>,
    text_rows: Vec<i64>,
    audio_rows: Vec<i64>,
}

/// An answer that joins a batch.
pub(crate) struct Joining<'a> {
    pub writer: Writer<'a>,
    /// One row that has read all but the last column of the prompt.
    pub prefilled: KvCache,
    /// That column, one a row of the answer.
    pub marks: Vec<Vec<i64>>,
    /// Most positions a row of it will have.
    pub most: usize,
    /// What its row has read, if it is given back at the end.
    pub reading: Option<Reading>,
}

/// An answer and its rows.
struct Slot<'a> {
    writer: Writer<'a>,
    /// Ids of the next step, [rows × streams].
    ids: Vec<i64>,
    rows: SlotRows,
    most: usize,
    reading: Option<Reading>,
}

/// Where an answer's rows are.
enum SlotRows {
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
            slots: Vec::new(),
            streams,
            rows: None,
            partner,
            ids: Vec::new(),
            text_rows: Vec::new(),
            audio_rows: Vec::new(),
        }
    }

    /// Whether there is nothing to step.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether every answer has a sound to wait for.
    pub fn all_speak(&self) -> bool {
        self.slots.iter().all(|slot| slot.writer.speaks())
    }

    /// Takes an answer in from the next step on.
    pub fn join(&mut self, mut joining: Joining<'a>) {
        if !joining.writer.goes_on() {
            return joining.writer.finish();
        }
        self.slots.push(Slot {
            writer: joining.writer,
            ids: joining.marks.concat(),
            rows: SlotRows::Joining(Box::new(joining.prefilled)),
            most: joining.most,
            reading: joining.reading,
        });
    }

    /// Ends the answers that nobody wants any more, each with its record.
    pub fn end_cancelled(&mut self) {
        let cancelled = self
            .slots
            .extract_if(.., |slot| slot.writer.sink().is_over())
            .collect();
        self.finish(cancelled);
    }

    /// Ends every answer with `error`.
    pub fn fail(&mut self, error: &Error) {
        for slot in self.slots.drain(..) {
            slot.writer.fail(error.clone());
        }
        self.rows = None;
    }

    /// One pass of the decoder over every row.
    pub fn step(&mut self, decoder: &mut Decoder) -> Result<()> {
        let start = Instant::now();
        let Some(mut rows) = self.arranged(decoder)? else {
            return Ok(());
        };
        decoder.run(&mut rows, self.call())?;
        let ended = match self.slots.iter().all(Slot::is_greedy) {
            true => {
                let ids = decoder.likeliest(&mut rows, &self.limits())?;
                self.accept(HeardHeads::Ids(&ids), millis(start.elapsed()))
            }
            false => {
                let logits = decoder.logits(&mut rows)?;
                self.accept(HeardHeads::Logits(&logits), millis(start.elapsed()))
            }
        };
        self.rows = Some(rows);
        self.finish(ended);
        Ok(())
    }

    /// One pass of the decoder for the only answer there is, whose logits somebody else looks at
    /// before [`Batch::take`] goes on with the ids that they choose. `None` where there is no answer.
    pub fn look(&mut self, decoder: &mut Decoder) -> Result<Option<HeadLogits<'_>>> {
        let Some(rows) = self.arranged(decoder)? else {
            return Ok(None);
        };
        self.call();
        let call = Call {
            ids: &self.ids,
            seq: 1,
            features: None,
            text_rows: &self.text_rows,
            audio_rows: &self.audio_rows,
        };
        let rows = self.rows.insert(rows);
        decoder.run(rows, call)?;
        let logits = decoder.logits(rows)?;
        Ok(Some(HeadLogits {
            text: (!self.text_rows.is_empty()).then_some(logits.text),
            audio: (!self.audio_rows.is_empty()).then_some(logits.audio),
        }))
    }

    /// Goes on with a step that was chosen elsewhere.
    pub fn take(&mut self, step: &Step) {
        let streams = self.streams;
        let ended = self
            .slots
            .extract_if(.., |slot| !slot.take(step.clone(), streams))
            .collect();
        self.finish(ended);
    }

    /// Tells the ends of answers that have left, and gives their rows back where they are to be kept.
    fn finish(&mut self, ended: Vec<Slot<'a>>) {
        for slot in ended {
            if let Some(reading) = slot.reading
                && !slot.writer.sink().is_discarded()
                && let (SlotRows::From(first), Some(rows)) = (&slot.rows, &self.rows)
                && let Ok(row) = rows.cache.row(first + slot.writer.kept_row())
            {
                slot.writer.sink().keep_memory(reading.finish(row));
            }
            slot.writer.finish();
        }
        if self.slots.is_empty() {
            self.rows = None;
        }
    }

    /// Rows of the next step, the one that completes a pair included.
    fn n_rows(&self) -> usize {
        let rows = self.slots.iter().map(Slot::n_rows).sum::<usize>();
        match self.partner {
            Some(_) => rows.next_multiple_of(2),
            None => rows,
        }
    }

    /// Whether every answer's rows are where the next step has them, with room for it. The row that
    /// completes a pair may be any: one that has left will do.
    fn is_arranged(&self) -> bool {
        let fits = |rows: &DecoderRows| {
            rows.cache.rows() == self.n_rows() && rows.cache.longest() < rows.cache.capacity()
        };
        let mut next = 0;
        self.rows.as_ref().is_some_and(fits)
            && self.slots.iter().all(|slot| {
                let first = next;
                next += slot.n_rows();
                matches!(slot.rows, SlotRows::From(row) if row == first)
            })
    }

    /// The cache's rows, brought in line with the answers; `None` where there is no answer.
    fn arranged(&mut self, decoder: &Decoder) -> Result<Option<DecoderRows>> {
        if self.is_arranged() {
            return Ok(self.rows.take());
        }
        let cache = match self.sole_newcomer() {
            Some(cache) => cache,
            None if self.slots.is_empty() => return Ok(None),
            None => self.gather(decoder)?,
        };
        let mut row = 0;
        for slot in &mut self.slots {
            slot.rows = SlotRows::From(row);
            row += slot.n_rows();
        }
        self.rows = None;
        Ok(Some(decoder.rows(cache)))
    }

    /// The cache of a newcomer that is alone and has one row: it need not be copied.
    fn sole_newcomer(&mut self) -> Option<KvCache> {
        let [slot] = &mut self.slots[..] else {
            return None;
        };
        if self.partner.is_some() || slot.n_rows() != 1 || !slot.rows.is_joining() {
            return None;
        }
        match std::mem::replace(&mut slot.rows, SlotRows::From(0)) {
            SlotRows::Joining(cache) => Some(*cache),
            SlotRows::From(_) => None,
        }
    }

    fn gather(&self, decoder: &Decoder) -> Result<KvCache> {
        let mut rows = Vec::new();
        let mut needed = 0;
        for slot in &self.slots {
            for row in 0..slot.n_rows() {
                match (&slot.rows, &self.rows) {
                    (SlotRows::Joining(cache), _) => rows.push((&**cache, 0)),
                    (SlotRows::From(first), Some(all)) => rows.push((&all.cache, first + row)),
                    (SlotRows::From(_), None) => {}
                }
            }
        }
        if let Some(partner) = self.partner.as_ref().filter(|_| rows.len() % 2 == 1) {
            rows.push((partner, 0));
        }
        for (cache, row) in &rows {
            needed = needed.max(cache.length(*row) + 1);
        }
        let most = self.slots.iter().map(|slot| slot.most).max();
        decoder.gather(&rows, capacity(needed, most.unwrap_or(needed)))
    }

    /// The next step's ids and heads, row by row.
    fn call(&mut self) -> Call<'_> {
        self.ids.clear();
        self.text_rows.clear();
        self.audio_rows.clear();
        let mut first = 0;
        for slot in &self.slots {
            let heads = slot.heads();
            let row = |own: usize| (first + own) as i64;
            self.text_rows.extend(heads.text_row.map(row));
            self.audio_rows.extend(heads.audio_row.map(row));
            let n_rows = slot.n_rows();
            self.ids.extend(&slot.ids[..n_rows * self.streams]);
            first += n_rows;
        }
        let rows = self.n_rows();
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

    /// What each head of the next step may choose from.
    fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        for slot in &self.slots {
            let (heads, (words, codes)) = (slot.heads(), slot.writer.generation.limits());
            limits.text.extend(heads.text_row.map(|_| words as i64));
            limits.audio.extend(heads.audio_row.map(|_| codes as i64));
        }
        if self.partner.is_some() {
            complete_pair(&mut limits.text);
            complete_pair(&mut limits.audio);
        }
        limits
    }

    /// Gives each answer what its heads said; those that ended. `took`: the pass.
    fn accept(&mut self, said: HeardHeads, took: Millis) -> Vec<Slot<'a>> {
        let (mut text, mut audio) = (0.., 0..);
        let (n_text, n_audio) = (self.text_rows.len(), self.audio_rows.len());
        let streams = self.streams;
        let ended = self.slots.extract_if(.., |slot| {
            let wanted = slot.heads();
            let text = wanted.text_row.and_then(|_| text.next());
            let audio = wanted.audio_row.and_then(|_| audio.next());
            let said = match said {
                HeardHeads::Ids(ids) => Said::Ids(HeadIds {
                    text: text.map(|at| ids.text[at]),
                    audio: audio.map(|at| part(&ids.audio, at, n_audio)),
                }),
                HeardHeads::Logits(logits) => Said::Logits(HeadLogits {
                    text: text.map(|at| part(logits.text, at, n_text)),
                    audio: audio.map(|at| part(logits.audio, at, n_audio)),
                }),
            };
            slot.writer.sink().time(|timings| timings.steps.push(took));
            slot.note_reading(streams);
            match slot.writer.choose(&said) {
                Some(step) => !slot.take(step, streams),
                None => true,
            }
        });
        ended.collect()
    }
}

/// What all heads of a step said.
#[derive(Clone, Copy)]
enum HeardHeads<'h> {
    Ids(&'h Ids),
    Logits(&'h Logits<'h>),
}

impl Slot<'_> {
    /// Rows of its next step.
    fn n_rows(&self) -> usize {
        self.writer.generation.rows()
    }

    /// Whether it goes on from the likeliest ids.
    fn is_greedy(&self) -> bool {
        self.writer.generation.is_greedy()
    }

    /// Heads of its next step.
    fn heads(&self) -> Heads {
        self.writer.generation.heads()
    }

    /// Notes the column that its kept row has just read.
    fn note_reading(&mut self, streams: usize) {
        let at = self.writer.kept_row() * streams;
        if let Some(reading) = &mut self.reading {
            reading.push(&self.ids[at..at + streams]);
        }
    }

    /// Goes on with a step's ids; whether there is a next step.
    fn take(&mut self, step: Step, streams: usize) -> bool {
        let goes_on = self.writer.take(step);
        if goes_on {
            for (row, ids) in self.ids.chunks_exact_mut(streams).enumerate() {
                self.writer.generation.feed(row, ids);
            }
        }
        goes_on
    }
}

impl SlotRows {
    fn is_joining(&self) -> bool {
        matches!(self, SlotRows::Joining(_))
    }
}

/// Asks for the last head once more where its pair lacks one.
fn complete_pair(heads: &mut Vec<i64>) {
    if heads.len() % 2 == 1 {
        heads.extend_from_within(heads.len() - 1..);
    }
}

/// What belongs to one of `n` heads.
fn part<T>(of_all: &[T], at: usize, n: usize) -> &[T] {
    let size = of_all.len() / n.max(1);
    &of_all[at * size..(at + 1) * size]
}
