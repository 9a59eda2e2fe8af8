//! One model going through an answer, its ids chosen by whoever watches.

use std::time::Instant;

use super::drift::StepLogits;
use crate::delay::{DelayPattern, Frame};
use crate::error::Result;
use crate::graph::decoder::Call;
use crate::graph::{Decoder, KvCache};
use crate::hear::Heard;
use crate::manifest::Manifest;
use crate::omni::{Omni, Options, Question};
use crate::prefill::Prefill;
use crate::sampling::{Sampler, SamplingConfig};
use crate::task::Task;
use crate::turn::{Ended, Outcome, Step, Turn};

/// A question that a model has read; passes start from it.
pub(crate) struct ReadQuestion {
    pub heard: Heard,
    /// One row: all of the prompt but its marks.
    cache: KvCache,
}

impl ReadQuestion {
    pub fn new(omni: &mut Omni, question: &Question, options: &Options) -> Result<ReadQuestion> {
        let heard = omni.ear.hear(question, options, Instant::now())?;
        let mut prefill = Prefill::new(&omni.decoder, heard)?;
        while !prefill.advance(&mut omni.decoder, usize::MAX)? {}
        let (heard, cache) = prefill.finish();
        Ok(ReadQuestion { heard, cache })
    }
}

/// An answer being written: the logits of each step are looked at, then its ids are given.
pub(crate) struct Pass<'a> {
    decoder: &'a mut Decoder,
    cache: KvCache,
    turn: Turn,
    delay: DelayPattern,
    codebook_size: i64,
    /// Ids of the next step, [rows × streams].
    column: Vec<i64>,
    streams: usize,
    /// What was kept, undelayed.
    pub steps: Vec<Step>,
    pub frames: Vec<Frame>,
}

impl<'a> Pass<'a> {
    /// An answer of at most `steps` steps.
    pub fn start(
        decoder: &'a mut Decoder,
        manifest: &Manifest,
        task: &'static Task,
        read: &ReadQuestion,
        steps: usize,
    ) -> Result<Pass<'a>> {
        let (ids, prompt) = (&manifest.ids, &read.heard.prompt);
        let rows = vec![(&read.cache, 0); prompt.marks.len()];
        let samplers = (0..ids.streams())
            .map(|stream| Sampler::new(&SamplingConfig::greedy(), stream))
            .collect();
        Ok(Pass {
            cache: decoder.gather(&rows, prompt.len() + steps)?,
            decoder,
            turn: Turn::new(task, ids, samplers, steps),
            delay: DelayPattern::new(&manifest.delays),
            codebook_size: manifest.codec.codebook_size as i64,
            column: prompt.marks.concat(),
            streams: ids.streams(),
            steps: Vec::new(),
            frames: Vec::new(),
        })
    }

    /// Whether the answer must end before another step.
    pub fn limit(&self) -> Option<Ended> {
        self.turn.limit()
    }

    /// The next step's logits. To be called once a step.
    pub fn logits(&mut self) -> Result<StepLogits<'_>> {
        self.leave_rows()?;
        let heads = self.turn.heads();
        let one = |row: Option<usize>| row.map(|row| row as i64);
        let (text_row, audio_row) = (one(heads.text_row), one(heads.audio_row));
        let call = Call {
            ids: &self.column,
            seq: 1,
            features: None,
            text_rows: text_row.as_slice(),
            audio_rows: audio_row.as_slice(),
        };
        let logits = self.decoder.run(&mut self.cache, call)?;
        Ok(StepLogits {
            text: text_row.is_some().then_some(logits.text),
            audio: audio_row.is_some().then_some(logits.audio),
        })
    }

    /// Lets go of rows that the turn does not need any more.
    fn leave_rows(&mut self) -> Result<()> {
        let needed = self.turn.rows();
        if needed < self.cache.rows() {
            let rows: Vec<_> = (0..needed).map(|row| (&self.cache, row)).collect();
            self.cache = self.decoder.gather(&rows, self.cache.capacity())?;
            self.column.truncate(needed * self.streams);
        }
        Ok(())
    }

    /// Goes on with the ids of `step`; returns why the answer ended, if it did.
    pub fn take(&mut self, step: Step) -> Option<Ended> {
        let step = match self.turn.take(step) {
            Outcome::Ended(ended) => return Some(ended),
            Outcome::Kept(step) => step,
        };
        for (row, column) in self.column.chunks_exact_mut(self.streams).enumerate() {
            self.turn.feed(row, column);
        }
        if !step.audio.is_empty() {
            self.complete_frame(&step.audio);
        }
        self.steps.push(step);
        None
    }

    /// As in every answer, an id that is no code ends the sound.
    fn complete_frame(&mut self, audio: &[i64]) {
        let frame = self.delay.push(audio);
        let Some(frame) = frame.filter(|_| !self.turn.audio_has_failed()) else {
            return;
        };
        if frame.ids().iter().any(|&id| id >= self.codebook_size) {
            return self.turn.audio_failed();
        }
        self.frames.push(frame);
    }
}
