//! One model of a comparison: what it hears, says and speaks.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::Protocol;
use super::drift::Look;
use super::pass::{Pass, ReadQuestion};
use crate::ask::{EncoderWindow, Options, Question};
use crate::decoding::delay::Frame;
use crate::decoding::generation::Ended;
use crate::decoding::noise::Noise;
use crate::error::Result;
use crate::omni::Omni;
use crate::trace::Trace;

/// Frames decoded at once, so that a long answer takes no more memory than a short one.
pub(super) const CODEC_CHUNK: usize = 16;
/// Of the codec's noise, so that both draw the same.
pub(super) const NOISE: Noise = Noise::Seeded(0);

/// A model and how it hears.
pub struct Side {
    /// The model.
    pub omni: Omni,
    /// How much its encoder hears.
    pub window: EncoderWindow,
}

/// A model's own answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Said {
    /// All text.
    pub text: String,
    /// Steps kept.
    pub steps: usize,
    /// Why it ended.
    pub ended: Ended,
}

impl Said {
    pub(super) fn of(trace: &Trace) -> Said {
        Said {
            text: trace.text.clone(),
            steps: trace.tokens.last().map_or(0, Vec::len),
            ended: trace.ended,
        }
    }
}

/// Frames that a pass keeps.
pub(super) type KeptFrames = Mutex<Vec<Frame>>;

pub(super) fn taken(frames: KeptFrames) -> Vec<Frame> {
    frames.into_inner().unwrap_or_else(PoisonError::into_inner)
}

impl Side {
    pub(super) fn options(&self, protocol: Protocol) -> Options {
        Options {
            max_steps: Some(protocol.max_steps),
            window: Some(self.window),
            // Numbers are compared, and the two must hear the same whatever their manifests say.
            answer_anything: true,
            trim: Some(false),
            ..Options::for_task(protocol.task)
        }
    }

    pub(super) fn read(&mut self, question: &Question, protocol: Protocol) -> Result<ReadQuestion> {
        let options = self.options(protocol);
        ReadQuestion::new(&mut self.omni, question, &options)
    }

    pub(super) fn pass<'a>(
        &'a mut self,
        read: &ReadQuestion,
        protocol: Protocol,
        steps: usize,
        frames: &'a KeptFrames,
    ) -> Result<Pass<'a>> {
        let options = self.options(protocol);
        let omni = &mut self.omni;
        let parts = (&*omni.manifest, &*omni.tokenizer, &mut omni.decoder);
        Pass::start(parts, &options, read, steps, frames)
    }

    /// The model's own answer, and its frames.
    pub(super) fn answer(
        &mut self,
        read: &ReadQuestion,
        protocol: Protocol,
        steps: usize,
    ) -> Result<(Said, Vec<Frame>)> {
        let (ids, frames) = (self.omni.manifest.ids.clone(), Mutex::default());
        let mut pass = self.pass(read, protocol, steps, &frames)?;
        while let Some(logits) = pass.look()? {
            let step = Look::at(logits, &ids).step(&ids);
            pass.take(&step);
        }
        let said = Said::of(&pass.finish()?);
        Ok((said, taken(frames)))
    }

    /// The frames as sound.
    pub(super) fn speak(&mut self, frames: &[Frame]) -> Result<Vec<f32>> {
        let codec = &mut self.omni.codec;
        let mut state = codec.start(NOISE)?;
        let mut pcm = Vec::new();
        for chunk in frames.chunks(CODEC_CHUNK) {
            pcm.extend(codec.decode(&mut state, chunk)?);
        }
        pcm.extend(codec.finish(&mut state)?);
        Ok(pcm)
    }
}
