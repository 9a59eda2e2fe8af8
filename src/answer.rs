//! An answer while it is written: the turn's rules, the frames, the record.
//!
//! [`Omni::stream`] drives it; each call here is one thing that happens in the loop.

use std::time::Instant;

use crate::delay::{DelayPattern, Frame};
use crate::error::Result;
use crate::graph::KvCache;
use crate::graph::decoder::{Call, Decoder};
use crate::omni::{Event, Omni, Options, Sink, millis};
use crate::prompt::Prompt;
use crate::sampling::Sampler;
use crate::trace::{Timings, Trace};
use crate::turn::{Ended, Outcome, Turn};

/// The state of an answer while it is written.
pub(crate) struct Answer {
    pub turn: Turn,
    delay: DelayPattern,
    codebook_size: i64,
    streams: usize,
    pub trace: Trace,
    start: Instant,
}

impl Answer {
    pub fn new(
        omni: &Omni,
        prompt: &Prompt,
        options: &Options,
        steps: usize,
        timings_ms: Timings,
        start: Instant,
    ) -> Answer {
        let ids = &omni.manifest.ids;
        let samplers = (0..ids.streams())
            .map(|stream| Sampler::new(&options.sampling, stream))
            .collect();
        Answer {
            turn: Turn::new(options.task, ids, samplers, steps),
            delay: DelayPattern::new(&omni.manifest.delays),
            codebook_size: omni.manifest.codec.codebook_size as i64,
            streams: ids.streams(),
            trace: Trace {
                task: options.task.name,
                prompt_length: prompt.len(),
                tokens: vec![Vec::new(); ids.streams()],
                text: String::new(),
                ended: Ended::Limit,
                frames: 0,
                pcm_samples: 0,
                timings_ms,
            },
            start,
        }
    }

    /// One pass of the decoder; `column` [rows × streams] goes in and becomes the next one.
    pub fn step(
        &mut self,
        decoder: &mut Decoder,
        cache: &mut KvCache,
        column: &mut Vec<i64>,
    ) -> Result<Outcome> {
        let start = Instant::now();
        let heads = self.turn.heads();
        if self.turn.rows() < cache.rows() {
            let rows: Vec<_> = (0..self.turn.rows()).collect();
            *cache = decoder.select(cache, &rows)?;
            column.truncate(rows.len() * self.streams);
        }
        let one = |row: Option<usize>| row.map(|row| row as i64);
        let (text_row, audio_row) = (one(heads.text_row), one(heads.audio_row));
        let call = Call {
            ids: column,
            seq: 1,
            features: None,
            text_rows: text_row.as_slice(),
            audio_rows: audio_row.as_slice(),
        };
        let logits = decoder.run(cache, call)?;
        let outcome = self.turn.accept(
            text_row.is_some().then_some(logits.text),
            audio_row.is_some().then_some(logits.audio),
        );
        if let Outcome::Kept(step) = &outcome {
            self.trace.push(step);
            for (row, column) in column.chunks_exact_mut(self.streams).enumerate() {
                self.turn.feed(row, column);
            }
        }
        self.trace.timings_ms.steps.push(millis(start));
        Ok(outcome)
    }

    /// The codec frame a step completes. One with an id outside the codebook ends the audio.
    pub fn frame(&mut self, audio: &[i64]) -> Option<Frame> {
        let frame = self
            .delay
            .push(audio)
            .filter(|_| !self.turn.audio_has_failed())?;
        if frame.ids().iter().any(|&id| id >= self.codebook_size) {
            self.turn.audio_failed();
            return None;
        }
        self.trace.frames += 1;
        Some(frame)
    }

    pub fn hear_back(&mut self, chunk: &[f32], sink: &mut Sink) -> Result<()> {
        self.trace
            .timings_ms
            .first_audio
            .get_or_insert_with(|| millis(self.start));
        self.trace.pcm_samples += chunk.len();
        sink(Event::Audio(chunk))
    }
}
