//! An answer while it is written: the turn's rules, the frames, the words, the record.
//!
//! It takes a step's logits and passes on what they say: text to whoever asked, frames to the codec.

use crate::conversation::Reply;
use crate::delay::{DelayPattern, Frame};
use crate::hear::Heard;
use crate::manifest::Manifest;
use crate::omni::{Event, Options};
use crate::sampling::Sampler;
use crate::speech::{Speech, VoiceId};
use crate::text::{Text, TextStream};
use crate::trace::{Millis, Trace};
use crate::turn::{Outcome, Turn};

/// The state of an answer while it is written.
pub struct Answer<'a> {
    pub(crate) turn: Turn,
    delay: DelayPattern,
    codebook_size: i64,
    text: &'a Text,
    words: TextStream<'a>,
    /// Where frames go; `None` if it does not speak.
    voice: Option<(&'a Speech, VoiceId)>,
    pub(crate) reply: Reply,
    trace: Box<Trace>,
}

impl<'a> Answer<'a> {
    /// The answer to a question that was heard.
    pub fn new(
        manifest: &Manifest,
        text: &'a Text,
        speech: &'a Speech,
        (heard, options): (&Heard, &Options),
        reply: Reply,
    ) -> Answer<'a> {
        let ids = &manifest.ids;
        let samplers = (0..ids.streams())
            .map(|stream| Sampler::new(&options.sampling, stream))
            .collect();
        let voice = || (speech, speech.start(&reply, options.noise, heard.start));
        Answer {
            turn: Turn::new(options.task, ids, samplers, heard.steps).forced(options.forced),
            delay: DelayPattern::new(&manifest.delays),
            codebook_size: manifest.codec.codebook_size as i64,
            text,
            words: text.stream(),
            voice: options.task.speaks().then(voice),
            reply,
            trace: Box::new(Trace::new(
                options.task.name,
                heard.prompt.len(),
                ids.streams(),
                heard.timings.clone(),
            )),
        }
    }

    /// Whether it has a voice.
    pub(crate) fn speaks(&self) -> bool {
        self.voice.is_some()
    }

    /// Takes the logits of a pass that took `took`; whether there is a next step.
    pub(crate) fn accept(
        &mut self,
        text: Option<&[f32]>,
        audio: Option<&[f32]>,
        took: Millis,
    ) -> bool {
        self.trace.timings_ms.steps.push(took);
        let step = match self.turn.accept(text, audio) {
            Outcome::Kept(step) => step,
            Outcome::Ended(ended) => {
                self.trace.ended = ended;
                return false;
            }
        };
        self.trace.push(&step);
        if let Some(piece) = self.words.push(step.text) {
            self.reply.event(Event::Text(piece));
        }
        if let Some((speech, voice)) = self.voice
            && let Some(frame) = self.frame(&step.audio)
        {
            speech.push(voice, frame);
        }
        self.goes_on()
    }

    /// Whether there is another step.
    pub(crate) fn goes_on(&mut self) -> bool {
        match self.turn.limit() {
            Some(ended) => {
                self.trace.ended = ended;
                false
            }
            None => true,
        }
    }

    /// Nothing more will be said: the record follows, after the last sound.
    pub(crate) fn finish(mut self) {
        if let Some(piece) = self.words.finish() {
            self.reply.event(Event::Text(piece));
        }
        let ids = self.trace.tokens.last().map_or(&[][..], Vec::as_slice);
        self.trace.text = self.text.decode(ids);
        match self.voice {
            Some((speech, voice)) => speech.finish(voice, self.trace),
            None => self.reply.end(Ok(self.trace)),
        }
    }

    /// The codec frame a step completes. One with an id outside the codebook ends the audio.
    fn frame(&mut self, audio: &[i64]) -> Option<Frame> {
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
}
