//! One model going through an answer, its ids chosen by somebody who looks at the logits first.
//!
//! It is a batch of the engine with one slot: the same rows, the same rules, the same frames.

use std::time::Instant;

use ndarray::Array2;

use super::side::KeptFrames;
use crate::ask::{Options, Question};
use crate::decoding::generation::{HeadLogits, Step};
use crate::engine::front_end::Prepared;
use crate::engine::{Answer, Batch, FrameSink, Joining, Length, Prefill, Sink, Writer};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Decoder, Features, KvCache, Positions};
use crate::model::manifest::Manifest;
use crate::model::tokenizer::Tokenizer;
use crate::omni::Omni;
use crate::trace::Trace;

/// A question that a model has read; passes start from it.
pub(crate) struct ReadQuestion {
    pub prepared: Prepared,
    /// What the encoder heard of a spoken one.
    pub mel: Option<Array2<f32>>,
    /// [n_features, n_embd]: what the encoder said of it.
    pub features: Option<Array2<f32>>,
    /// The encoder's positions, where its model has a merged window.
    pub positions: Option<Positions>,
    /// One row: all of the prompt but its marks.
    pub cache: KvCache,
}

impl ReadQuestion {
    pub fn new(omni: &mut Omni, question: &Question, options: &Options) -> Result<ReadQuestion> {
        let (sink, _answer) = Sink::new(Instant::now(), None);
        let heard = omni.front_end.prepare(question, options, 0, &sink)?;
        let prepared = heard
            .ok_or_else(|| Error::new(ErrorKind::Audio, "there is no speech in the question"))?;
        let (mel, positions) = match question {
            Question::Audio(pcm) => {
                let (mel, positions) = omni.front_end.heard(pcm, options.window)?;
                (Some(mel), positions)
            }
            Question::Text(_) => (None, None),
        };
        let features = prepared.features.as_ref().map(Features::to_host);
        let features = features.transpose()?;
        let mut prefill = Prefill::new(&omni.decoder, prepared, None)?;
        while !prefill.advance(&mut omni.decoder, usize::MAX, &sink)? {}
        let (prepared, cache) = prefill.finish();
        Ok(ReadQuestion {
            prepared,
            mel,
            features,
            positions,
            cache,
        })
    }
}

/// An answer being written.
pub(crate) struct Pass<'a> {
    decoder: &'a mut Decoder,
    batch: Batch<'a>,
    answer: Answer,
}

impl<'a> Pass<'a> {
    /// An answer of at most `steps` steps, its frames kept in `frames`.
    pub fn start(
        (manifest, tokenizer, decoder): (&'a Manifest, &'a Tokenizer, &'a mut Decoder),
        options: &Options,
        read: &ReadQuestion,
        steps: usize,
        frames: &'a KeptFrames,
    ) -> Result<Pass<'a>> {
        let (sink, answer) = Sink::new(Instant::now(), None);
        let prompt = &read.prepared.prompt;
        let length = Length {
            prompt: prompt.columns(),
            steps,
        };
        let writer = Writer::new(
            (manifest, tokenizer),
            options,
            length,
            FrameSink::Kept(frames),
            sink,
        );
        let mut batch = Batch::new(manifest.ids.streams(), None);
        batch.join(Joining {
            writer,
            prefilled: decoder.gather(&[(&read.cache, 0)], length.prompt + steps)?,
            marks: prompt.marks.clone(),
            most: length.prompt + steps,
            reading: None,
        });
        Ok(Pass {
            decoder,
            batch,
            answer,
        })
    }

    /// The next step's logits; `None` once the answer has ended.
    pub fn look(&mut self) -> Result<Option<HeadLogits<'_>>> {
        self.batch.look(self.decoder)
    }

    /// Goes on with the ids of `step`.
    pub fn take(&mut self, step: &Step) {
        self.batch.take(step);
    }

    /// The answer's record, once it has ended.
    pub fn finish(self) -> Result<Trace> {
        self.answer.finish()
    }
}
