//! The front half: a question becomes a prompt, and audio features where it was spoken.
//!
//! It shares nothing with the decoder, so that a scheduler hears the next question on one thread
//! while it answers the others on another.

use std::sync::Arc;
use std::time::Instant;

use ndarray::Array2;

use crate::audio::{self, Pcm};
use crate::error::{Error, Result};
use crate::graph::Encoder;
use crate::manifest::{Manifest, MelDims};
use crate::mel::{self, MelSpectrogram};
use crate::omni::{EncoderWindow, Options, Question, millis};
use crate::prompt::Prompt;
use crate::task::Source;
use crate::text::Text;
use crate::trace::Timings;

/// Mel, encoder and tokenizer.
pub(crate) struct Ear {
    pub manifest: Arc<Manifest>,
    pub text: Arc<Text>,
    pub mel: MelSpectrogram,
    pub encoder: Encoder,
}

/// What the front half made of a question.
pub struct Heard {
    pub prompt: Prompt,
    /// [n_features, n_embd] of a spoken question.
    pub features: Option<Array2<f32>>,
    /// Most steps of the answer: what the options and the model's length leave.
    pub steps: usize,
    pub timings: Timings,
    /// When the question came.
    pub start: Instant,
}

impl Ear {
    /// Question to prompt. `start`: when the question came.
    pub fn hear(
        &mut self,
        question: &Question,
        options: &Options,
        start: Instant,
    ) -> Result<Heard> {
        let task = options.task;
        if question.source() != task.source {
            let (wants, flag) = match task.source {
                Source::Audio => ("a spoken question", "an audio file"),
                Source::Text => ("a written question", "--text"),
            };
            return Err(Error::Input(format!(
                "task {} answers {wants}: give it {flag}",
                task.name
            )));
        }
        let mut timings = Timings::default();
        let ids = &self.manifest.ids;
        let (prompt, features) = match question {
            Question::Text(text) => (Prompt::from_text(task, ids, &self.text.encode(text)?), None),
            Question::Audio(pcm) => {
                let features = self.features(pcm, options.window, &mut timings)?;
                let prompt = Prompt::from_audio(task, &self.manifest.ids, features.nrows());
                (prompt, Some(features))
            }
        };
        Ok(Heard {
            steps: self.steps_allowed(&prompt, options)?,
            prompt,
            features,
            timings,
            start,
        })
    }

    fn features(
        &mut self,
        pcm: &Pcm,
        window: EncoderWindow,
        timings: &mut Timings,
    ) -> Result<Array2<f32>> {
        let start = Instant::now();
        let dims = &self.manifest.mel;
        let pcm = audio::resample(pcm, dims.sample_rate)?;
        let frames = window_frames(dims, window, pcm.samples().len());
        let n_features =
            mel::n_features(dims, pcm.samples().len()).min(frames / dims.frames_per_feature);
        let spectrogram = self.mel.compute(pcm.samples(), frames);
        timings.mel = millis(start);
        let start = Instant::now();
        let features = self.encoder.encode(spectrogram.view(), n_features)?;
        timings.encoder = millis(start);
        Ok(features)
    }

    /// Steps the model's length and the options leave after the prompt.
    fn steps_allowed(&self, prompt: &Prompt, options: &Options) -> Result<usize> {
        let max_length = self.manifest.decoder.max_length;
        if prompt.len() >= max_length {
            return Err(Error::Input(format!(
                "the question takes {} of the model's {max_length} positions and leaves none for an answer; ask something shorter",
                prompt.len()
            )));
        }
        let room = max_length - prompt.len();
        Ok(options.max_steps.map_or(room, |steps| steps.min(room)))
    }
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
