//! The front end: a question becomes a prompt, and audio features where it was spoken.
//!
//! It shares nothing with the decoder, so that a scheduler prepares the next question on one thread
//! while it answers the others on another.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use ndarray::Array2;

use super::sink::Sink;
use super::window::{Clip, Window};
use crate::ask::{EncoderWindow, Event, Options, Question, millis};
use crate::audio::mel::{self, MelSpectrogram};
use crate::audio::{self, Pcm};
use crate::decoding::generation::Ended;
use crate::decoding::prompt::Prompt;
use crate::decoding::task::Source;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Encoder, Features, Positions, Vad};
use crate::hearing::{self, Speech};
use crate::model::manifest::{Manifest, MelDims};
use crate::model::tokenizer::Tokenizer;
use crate::trace::Trace;

/// Tokenizer, voice activity detector, mel spectrogram and encoder.
pub(crate) struct FrontEnd {
    manifest: Arc<Manifest>,
    tokenizer: Arc<Tokenizer>,
    vad: Vad,
    mel: MelSpectrogram,
    encoder: Encoder,
}

/// A question, ready for the decoder.
pub(crate) struct Prepared {
    pub prompt: Prompt,
    /// Of a spoken question.
    pub features: Option<Features>,
    /// Most steps of the answer: what the options and the model's length leave.
    pub steps: usize,
}

/// Mel [n_mels, frames], and the positions of a model with a merged window.
pub(crate) type Heard = (Array2<f32>, Option<Positions>);

impl FrontEnd {
    pub fn new(
        manifest: Arc<Manifest>,
        tokenizer: Arc<Tokenizer>,
        vad: Vad,
        encoder: Encoder,
    ) -> FrontEnd {
        FrontEnd {
            mel: MelSpectrogram::new(&manifest.mel),
            manifest,
            tokenizer,
            vad,
            encoder,
        }
    }

    /// The record of an answer that was not begun.
    pub fn unanswered(&self, options: &Options, ended: Ended) -> Box<Trace> {
        let streams = self.manifest.ids.streams();
        let mut trace = Trace::new(options.task.name(), 0, streams);
        trace.ended = ended;
        Box::new(trace)
    }

    /// Tells `sink` that there is no speech in the question: all there is of its answer.
    pub fn heard_nothing(&self, options: &Options, sink: &Sink) {
        sink.event(Event::NoSpeech);
        sink.end(Ok(self.unanswered(options, Ended::NoSpeech)));
    }

    /// Question to prompt, behind `past` positions of the conversation; `sink` notes the times.
    /// `None` if there is no speech in a spoken one and the options do not want it answered anyway.
    pub fn prepare(
        &mut self,
        question: &Question,
        options: &Options,
        past: usize,
        sink: &Sink,
    ) -> Result<Option<Prepared>> {
        check_source(question, options)?;
        match question {
            Question::Text(text) => {
                prepare_text(&self.manifest, &self.tokenizer, text, options, past).map(Some)
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
    ) -> Result<Option<Prepared>> {
        check_length(pcm, &self.manifest.mel)?;
        let start = Instant::now();
        let pcm = audio::resample(pcm, self.manifest.mel.sample_rate)?;
        sink.time(|timings| timings.mel = millis(start.elapsed()));
        let start = Instant::now();
        let heard = self.hear(&pcm, options)?;
        sink.time(|timings| timings.hearing = millis(start.elapsed()));
        let Some(part) = heard else {
            return Ok(None);
        };
        let window = EncoderWindow::of(options.window, &self.manifest)?;
        let features = self.features(&pcm.samples()[part], window, sink)?;
        let prompt = Prompt::from_audio(&options.task, &self.manifest.ids, features.n());
        let steps = steps_allowed(&self.manifest, &prompt, options, past)?;
        Ok(Some(Prepared {
            prompt,
            features: Some(features),
            steps,
        }))
    }

    /// The samples of the question that are asked with: all, or from the first speech to the last.
    /// `None` where there is nothing to answer.
    fn hear(&mut self, pcm: &Pcm, options: &Options) -> Result<Option<Range<usize>>> {
        let all = 0..pcm.samples().len();
        let trim = options.trim.unwrap_or(self.manifest.hearing.trim);
        if options.answer_anything && !trim {
            return Ok(Some(all));
        }
        let what = if trim { Speech::Spans } else { Speech::Any };
        let spans = self.speech(pcm, what)?;
        Ok(match (spans.first(), spans.last()) {
            (Some(first), Some(last)) if trim => Some(first.start..last.end),
            (Some(_), Some(_)) => Some(all),
            _ => options.answer_anything.then_some(all),
        })
    }

    /// Spans of speech, in samples of `pcm`.
    fn speech(&mut self, pcm: &Pcm, what: Speech) -> Result<Vec<Range<usize>>> {
        let heard = audio::resample(pcm, hearing::SAMPLE_RATE)?;
        let vad = &mut self.vad;
        vad.reset();
        let spans = hearing::speech(heard.samples(), what, |frames| vad.probabilities(frames))?;
        let rates = (
            u64::from(pcm.sample_rate()),
            u64::from(hearing::SAMPLE_RATE),
        );
        let n = pcm.samples().len();
        let at = |sample: usize| ((sample as u64 * rates.0 / rates.1) as usize).min(n);
        Ok(spans.into_iter().map(|s| at(s.start)..at(s.end)).collect())
    }

    /// What the encoder gets of all of `pcm`, to look at: mel [n_mels, frames], and its positions.
    pub fn heard(&self, pcm: &Pcm, window: Option<EncoderWindow>) -> Result<Heard> {
        let window = EncoderWindow::of(window, &self.manifest)?;
        let pcm = audio::resample(pcm, self.manifest.mel.sample_rate)?;
        let Window { frames, positions } = self.window(self.clip(pcm.samples().len()), window);
        Ok((self.mel.compute(pcm.samples(), frames), positions))
    }

    fn clip(&self, n_samples: usize) -> Clip {
        let dims = &self.manifest.mel;
        let n_features = mel::n_features(dims, n_samples).min(dims.max_features());
        Clip {
            n_samples,
            n_features,
        }
    }

    fn window(&self, clip: Clip, window: EncoderWindow) -> Window {
        let plan = self.manifest.merged_window.as_ref();
        Window::of(&self.manifest.mel, plan, window, clip)
    }

    /// `samples`: at the model's rate.
    fn features(
        &mut self,
        samples: &[f32],
        window: EncoderWindow,
        sink: &Sink,
    ) -> Result<Features> {
        let start = Instant::now();
        let clip = self.clip(samples.len());
        let window = self.window(clip, window);
        let spectrogram = self.mel.compute(samples, window.frames);
        sink.time(|timings| timings.mel += millis(start.elapsed()));
        let start = Instant::now();
        let positions = window.positions.as_ref();
        let features = self
            .encoder
            .encode(spectrogram.view(), clip.n_features, positions)?;
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
