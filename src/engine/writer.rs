//! An answer while it is written: the rules of its task, its words, its frames, its record.
//!
//! It chooses a step's ids from the logits, or takes those of another model, and passes on what they
//! say: text to the sink, frames to the codec.

use std::sync::{Mutex, PoisonError};

use super::codec_queue::{CodecQueue, StreamId};
use super::sink::Sink;
use crate::ask::{Event, Options};
use crate::decoding::delay::{DelayPattern, Frame};
use crate::decoding::generation::{Generation, Outcome, Said, Step};
use crate::decoding::sampling::all_finite;
use crate::error::{Error, ErrorKind};
use crate::graph::NOT_FINITE;
use crate::model::manifest::Manifest;
use crate::model::tokenizer::{TextStream, Tokenizer};
use crate::trace::Trace;

/// The state of an answer while it is written.
pub(crate) struct Writer<'a> {
    pub generation: Generation,
    options: Options,
    delay: DelayPattern,
    manifest: &'a Manifest,
    tokenizer: &'a Tokenizer,
    words: TextStream<'a>,
    frames: FrameSink<'a>,
    sink: Sink,
    trace: Box<Trace>,
    /// Why it cannot go on.
    failed: Option<Error>,
}

/// Where the frames of an answer go.
pub(crate) enum FrameSink<'a> {
    /// It does not speak, or nobody listens.
    None,
    /// To the codec.
    Codec(&'a CodecQueue, StreamId),
    /// Kept, for somebody who decodes them later.
    Kept(&'a Mutex<Vec<Frame>>),
}

/// What a writer needs of a prepared question.
#[derive(Clone, Copy)]
pub(crate) struct Length {
    /// Columns of the prompt.
    pub prompt: usize,
    /// Most steps of the answer.
    pub steps: usize,
}

impl<'a> Writer<'a> {
    /// The answer to a prepared question.
    pub fn new(
        (manifest, tokenizer): (&'a Manifest, &'a Tokenizer),
        options: &Options,
        length: Length,
        frames: FrameSink<'a>,
        sink: Sink,
    ) -> Writer<'a> {
        let ids = &manifest.ids;
        Writer {
            generation: Generation::new(options.task, ids, &options.sampling, length.steps)
                .forced(options.forced),
            options: options.clone(),
            delay: DelayPattern::new(&manifest.delays),
            manifest,
            tokenizer,
            words: tokenizer.stream(),
            frames,
            sink,
            trace: Box::new(Trace::new(
                options.task.name(),
                length.prompt,
                ids.streams(),
            )),
            failed: None,
        }
    }

    /// Where its events go.
    pub fn sink(&self) -> &Sink {
        &self.sink
    }

    /// Whether its frames go to the codec.
    pub fn speaks(&self) -> bool {
        matches!(self.frames, FrameSink::Codec(..))
    }

    /// Its row that a conversation goes on from, counted among its own.
    pub fn kept_row(&self) -> usize {
        self.options.task.audio_row.unwrap_or(0)
    }

    /// The ids that the heads say; `None`, and an error at the end, if they say nothing.
    pub fn choose(&mut self, said: &Said) -> Option<Step> {
        if says_something(said) {
            return Some(self.generation.choose(said));
        }
        let step = self.generation.steps();
        let sentence = format!(
            "the decoder's logits at step {step} are not finite numbers; verify the model folder, or export the model again"
        );
        self.failed = Some(Error::new(ErrorKind::Graph, sentence));
        None
    }

    /// Goes on with the ids of `step`; whether there is a next step.
    pub fn take(&mut self, step: Step) -> bool {
        let step = match self.generation.take(step) {
            Outcome::Kept(step) => step,
            Outcome::Ended(ended) => {
                self.trace.ended = ended;
                return false;
            }
        };
        self.trace.push(&step);
        if let Some(piece) = self.words.push(step.text) {
            self.sink.event(Event::Text(piece));
        }
        if let Some(frame) = self.frame(&step.audio) {
            match self.frames {
                FrameSink::Codec(queue, stream) => queue.push(stream, frame),
                FrameSink::Kept(frames) => {
                    let mut frames = frames.lock().unwrap_or_else(PoisonError::into_inner);
                    frames.push(frame);
                }
                FrameSink::None => {}
            }
        }
        self.goes_on()
    }

    /// Whether there is another step.
    pub fn goes_on(&mut self) -> bool {
        match self.generation.limit() {
            Some(ended) => {
                self.trace.ended = ended;
                false
            }
            None => true,
        }
    }

    /// Nothing more will be said: the record follows, after the last sound.
    pub fn finish(mut self) {
        if let Some(error) = self.failed.take() {
            return self.fail(error);
        }
        if let Some(piece) = self.words.finish() {
            self.sink.event(Event::Text(piece));
        }
        let ids = self.trace.tokens.last().map_or(&[][..], Vec::as_slice);
        self.trace.text = self.tokenizer.decode(ids);
        self.trace.find_repetition(self.manifest.ids.pad_t);
        match self.frames {
            FrameSink::Codec(queue, stream) => queue.finish(stream, self.trace),
            FrameSink::None | FrameSink::Kept(_) => self.sink.end(Ok(self.trace)),
        }
    }

    /// There will be no answer, for `error`.
    pub fn fail(self, error: Error) {
        self.sink.end(Err(error));
        if let FrameSink::Codec(queue, _) = self.frames {
            queue.sweep();
        }
    }

    /// The codec frame a step completes. One with an id outside the codebook ends the audio.
    fn frame(&mut self, audio: &[i64]) -> Option<Frame> {
        if audio.is_empty() {
            return None;
        }
        let frame = self
            .delay
            .push(audio)
            .filter(|_| !self.generation.audio_has_failed())?;
        let codebook_size = self.manifest.codec.codebook_size as i64;
        if frame.ids().iter().any(|&id| id >= codebook_size) {
            self.generation.audio_failed();
            return None;
        }
        Some(frame)
    }
}

/// Whether all logits were finite numbers.
fn says_something(said: &Said) -> bool {
    match said {
        Said::Logits(logits) => {
            logits.text.is_none_or(all_finite) && logits.audio.is_none_or(all_finite)
        }
        Said::Ids(ids) => {
            let audio = ids.audio.unwrap_or_default();
            !ids.text.iter().chain(audio).any(|&id| id == NOT_FINITE)
        }
    }
}
