//! The front end: a question becomes a prompt, and audio features where it was spoken.
//!
//! It shares nothing with the decoder, so that a scheduler prepares the next question on one thread
//! while it answers the others on another.

use std::sync::Arc;
use std::time::Instant;

use ndarray::Array2;

use super::sink::Sink;
use crate::ask::{EncoderWindow, Options, Question, millis};
use crate::audio::mel::{self, MelSpectrogram};
use crate::audio::{self, Pcm};
use crate::decoding::prompt::Prompt;
use crate::decoding::task::Source;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::Encoder;
use crate::model::manifest::{Manifest, MelDims};
use crate::model::tokenizer::Tokenizer;

/// Tokenizer, mel spectrogram and encoder.
pub(crate) struct FrontEnd {
    manifest: Arc<Manifest>,
    tokenizer: Arc<Tokenizer>,
    mel: MelSpectrogram,
    encoder: Encoder,
}

/// A question, ready for the decoder.
pub(crate) struct Prepared {
    pub prompt: Prompt,
    /// [n_features, n_embd] of a spoken question.
    pub features: Option<Array2<f32>>,
    /// Most steps of the answer: what the options and the model's length leave.
    pub steps: usize,
}

impl FrontEnd {
    pub fn new(manifest: Arc<Manifest>, tokenizer: Arc<Tokenizer>, encoder: Encoder) -> FrontEnd {
        FrontEnd {
            mel: MelSpectrogram::new(&manifest.mel),
            manifest,
            tokenizer,
            encoder,
        }
    }

    /// Streams of the model's steps.
    pub fn streams(&self) -> usize {
        self.manifest.ids.streams()
    }

    /// Question to prompt, behind `past` positions of the conversation; `sink` notes the times.
    pub fn prepare(
        &mut self,
        question: &Question,
        options: &Options,
        past: usize,
        sink: &Sink,
    ) -> Result<Prepared> {
        check_source(question, options)?;
        match question {
            Question::Text(text) => {
                prepare_text(&self.manifest, &self.tokenizer, text, options, past)
            }
            Question::Audio(pcm) => self.prepare_audio(pcm, options, past, sink),
        }
    }

    fn prepare_audio(
        &mut self,
        pcm: &Pcm,
        options: &Options,
        past: usize,
        sink: &Sink,
    ) -> Result<Prepared> {
        check_length(pcm, &self.manifest.mel)?;
        let features = self.features(pcm, options.window, sink)?;
        let prompt = Prompt::from_audio(&options.task, &self.manifest.ids, features.nrows());
        let steps = steps_allowed(&self.manifest, &prompt, options, past)?;
        Ok(Prepared {
            prompt,
            features: Some(features),
            steps,
        })
    }

    fn features(&mut self, pcm: &Pcm, window: EncoderWindow, sink: &Sink) -> Result<Array2<f32>> {
        let start = Instant::now();
        let dims = &self.manifest.mel;
        let pcm = audio::resample(pcm, dims.sample_rate)?;
        let n_samples = pcm.samples().len();
        let frames = window_frames(dims, window, n_samples);
        let n_features = mel::n_features(dims, n_samples).min(frames / dims.frames_per_feature);
        let spectrogram = self.mel.compute(pcm.samples(), frames);
        sink.time(|timings| timings.mel = millis(start.elapsed()));
        let start = Instant::now();
        let features = self.encoder.encode(spectrogram.view(), n_features)?;
        sink.time(|timings| timings.encoder = millis(start.elapsed()));
        Ok(features)
    }
}

/// Refuses a question that the task does not answer.
pub(crate) fn check_source(question: &Question, options: &Options) -> Result<()> {
    let task = options.task;
    if question.source() == task.source() {
        return Ok(());
    }
    let (kind, answers, given) = match task.source() {
        Source::Audio => (ErrorKind::NeedsAudio, "spoken", "written"),
        Source::Text => (ErrorKind::NeedsText, "written", "spoken"),
    };
    let sentence = format!(
        "task {} answers {answers} questions, and this one is {given}",
        task.name()
    );
    Err(Error::new(kind, sentence))
}

/// A written question's prompt. It needs no graph, so it never waits behind an encoder.
pub(crate) fn prepare_text(
    manifest: &Manifest,
    tokenizer: &Tokenizer,
    text: &str,
    options: &Options,
    past: usize,
) -> Result<Prepared> {
    let ids = tokenizer.encode(text, options.special_tokens)?;
    let prompt = Prompt::from_text(&options.task, &manifest.ids, &ids);
    Ok(Prepared {
        steps: steps_allowed(manifest, &prompt, options, past)?,
        prompt,
        features: None,
    })
}

/// The model hears a fixed length; what is longer is refused and not cut.
fn check_length(pcm: &Pcm, dims: &MelDims) -> Result<()> {
    if pcm.seconds() <= dims.max_seconds as f64 {
        return Ok(());
    }
    let sentence = format!(
        "the question lasts {} s and the model hears {} s; cut it",
        audio::seconds_apart(pcm.seconds(), dims.max_seconds as f64),
        dims.max_seconds
    );
    Err(Error::new(ErrorKind::TooLong, sentence))
}

/// Steps the model's length and the options leave after `past` positions and the prompt.
fn steps_allowed(
    manifest: &Manifest,
    prompt: &Prompt,
    options: &Options,
    past: usize,
) -> Result<usize> {
    let max_length = manifest.decoder.max_length;
    let taken = past + prompt.columns();
    if taken >= max_length {
        let sentence = format!(
            "the question takes {taken} of the model's {max_length} positions and leaves none for an answer; ask something shorter",
        );
        return Err(Error::new(ErrorKind::TooLong, sentence));
    }
    let room = max_length - taken;
    Ok(options.max_steps.map_or(room, |steps| steps.min(room)))
}

/// Mel frames the encoder gets: even, so that they make whole features.
fn window_frames(dims: &MelDims, window: EncoderWindow, n_samples: usize) -> usize {
    let second = dims.sample_rate as usize / dims.hop_length;
    match window {
        EncoderWindow::Full => dims.max_frames(),
        EncoderWindow::Short => {
            let clip = n_samples.div_ceil(dims.hop_length) + second;
            clip.next_multiple_of(dims.frames_per_feature)
                .min(dims.max_frames())
        }
    }
}
