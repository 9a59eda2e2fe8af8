//! A question in, an answer out, while it is being written: the one path through the model.
//!
//! [`Omni::stream`] is what the command line, the server, the benches and the tests all call; they
//! differ in the sink they give it.

use std::path::Path;
use std::time::Instant;

use ndarray::Array2;

use crate::answer::Answer;
use crate::audio::{self, Pcm};
use crate::error::{Error, Result};
use crate::graph::decoder::{Call, Decoder};
use crate::graph::{CodecDecoder, Encoder, KvCache, Runtime};
use crate::manifest::{Manifest, MelDims};
use crate::mel::{self, MelSpectrogram};
use crate::noise::Noise;
use crate::prompt::{FEATURES_START, Prompt};
use crate::sampling::SamplingConfig;
use crate::speech::Speech;
use crate::task::{Source, Task};
use crate::text::Text;
use crate::trace::{Millis, Timings, Trace};
use crate::turn::Outcome;

/// What is asked.
#[derive(Debug, Clone)]
pub enum Question {
    /// Speech, mono, any sample rate.
    Audio(Pcm),
    Text(String),
}

impl Question {
    fn source(&self) -> Source {
        match self {
            Question::Audio(_) => Source::Audio,
            Question::Text(_) => Source::Text,
        }
    }
}

/// How much of the encoder's window a clip fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncoderWindow {
    /// All of it, padded with silence, as published.
    Full,
    /// The clip and a second of silence: several times less work, slightly other features.
    Short,
}

/// How it is to be answered.
#[derive(Debug, Clone)]
pub struct Options {
    pub task: &'static Task,
    /// Most steps to keep; the model's own limit where `None`.
    pub max_steps: Option<usize>,
    pub sampling: SamplingConfig,
    pub noise: Noise,
    pub window: EncoderWindow,
}

impl Options {
    /// Greedy, seeded noise, as long as the model allows.
    pub fn for_task(task: &'static Task) -> Options {
        Options {
            task,
            max_steps: None,
            sampling: SamplingConfig::greedy(),
            noise: Noise::Seeded(0),
            window: EncoderWindow::Full,
        }
    }
}

/// A piece of the answer, the moment it exists.
#[derive(Debug)]
pub enum Event<'a> {
    /// Whole characters.
    Text(&'a str),
    /// Mono samples at the codec's rate.
    Audio(&'a [f32]),
}

/// Takes the answer as it comes; an error from it ends the answer.
pub type Sink<'a> = dyn FnMut(Event) -> Result<()> + 'a;

/// A loaded model.
pub struct Omni {
    pub manifest: Manifest,
    text: Text,
    mel: MelSpectrogram,
    encoder: Encoder,
    decoder: Decoder,
    codec: CodecDecoder,
    load: Millis,
}

/// What the front half made of a question.
struct Heard {
    prompt: Prompt,
    features: Option<Array2<f32>>,
}

impl Omni {
    /// Opens the model in `folder`.
    pub fn load(folder: &Path, runtime: &Runtime) -> Result<Omni> {
        let start = Instant::now();
        let manifest = Manifest::load(folder)?;
        let mut omni = Omni {
            text: Text::open(folder, &manifest)?,
            mel: MelSpectrogram::new(&manifest.mel),
            encoder: Encoder::open(runtime, folder, &manifest)?,
            decoder: Decoder::open(runtime, folder, &manifest)?,
            codec: CodecDecoder::open(runtime, folder, &manifest)?,
            manifest,
            load: 0.0,
        };
        omni.load = millis(start);
        Ok(omni)
    }

    /// Answers, giving the answer to `sink` as it comes.
    pub fn stream(
        &mut self,
        question: &Question,
        options: &Options,
        sink: &mut Sink,
    ) -> Result<Trace> {
        let start = Instant::now();
        let mut timings = Timings {
            load: self.load,
            ..Timings::default()
        };
        let heard = self.hear(question, options, &mut timings)?;
        let steps = self.steps_allowed(&heard.prompt, options)?;
        let mut cache = self.prefill(&heard, steps, &mut timings)?;
        let mut answer = Answer::new(self, &heard.prompt, options, steps, timings, start);
        std::thread::scope(|scope| {
            let speech = options
                .task
                .speaks()
                .then(|| Speech::start(scope, &mut self.codec, options.noise));
            let mut text = self.text.stream();
            let mut column = heard.prompt.marks.concat();
            answer.trace.ended = loop {
                if let Some(ended) = answer.turn.limit() {
                    break ended;
                }
                let outcome = answer.step(&mut self.decoder, &mut cache, &mut column)?;
                let step = match outcome {
                    Outcome::Ended(ended) => break ended,
                    Outcome::Kept(step) => step,
                };
                if let Some(piece) = text.push(step.text) {
                    sink(Event::Text(&piece))?;
                }
                if let Some(speech) = &speech {
                    answer
                        .frame(&step.audio)
                        .into_iter()
                        .for_each(|frame| speech.push(frame));
                    while let Some(chunk) = speech.ready() {
                        answer.hear_back(&chunk, sink)?;
                    }
                }
            };
            if let Some(piece) = text.finish() {
                sink(Event::Text(&piece))?;
            }
            if let Some(speech) = speech {
                answer.trace.timings_ms.codec =
                    speech.finish(|chunk| answer.hear_back(chunk, sink))?;
            }
            Ok::<(), Error>(())
        })?;
        let mut trace = answer.trace;
        trace.text = self
            .text
            .decode(&trace.tokens[self.manifest.ids.audio_streams]);
        trace.timings_ms.total = millis(start);
        Ok(trace)
    }

    /// Answers and keeps the sound.
    pub fn run(&mut self, question: &Question, options: &Options) -> Result<(Trace, Vec<f32>)> {
        let mut pcm = Vec::new();
        let trace = self.stream(question, options, &mut |event| {
            if let Event::Audio(chunk) = event {
                pcm.extend_from_slice(chunk);
            }
            Ok(())
        })?;
        Ok((trace, pcm))
    }

    /// Question to prompt: mel and encoder, or tokenizer.
    fn hear(
        &mut self,
        question: &Question,
        options: &Options,
        timings: &mut Timings,
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
        match question {
            Question::Text(text) => Ok(Heard {
                prompt: Prompt::from_text(task, &self.manifest.ids, &self.text.encode(text)?),
                features: None,
            }),
            Question::Audio(pcm) => {
                let features = self.features(pcm, options.window, timings)?;
                let prompt = Prompt::from_audio(task, &self.manifest.ids, features.nrows());
                Ok(Heard {
                    prompt,
                    features: Some(features),
                })
            }
        }
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
        let frames = window_frames(dims, window, pcm.samples.len());
        let n_features =
            mel::n_features(dims, pcm.samples.len()).min(frames / dims.frames_per_feature);
        let spectrogram = self.mel.compute(&pcm.samples, frames);
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

    /// Reads all that the rows share, once, then makes a cache row for each.
    fn prefill(&mut self, heard: &Heard, steps: usize, timings: &mut Timings) -> Result<KvCache> {
        let start = Instant::now();
        let prompt = &heard.prompt;
        let mut cache = self.decoder.cache(1, prompt.len() + steps)?;
        let call = Call {
            ids: &prompt.shared.concat(),
            seq: prompt.len() - 1,
            features: heard.features.as_ref().map(|f| (FEATURES_START, f.view())),
            text_rows: &[],
            audio_rows: &[],
        };
        self.decoder.run(&mut cache, call)?;
        if prompt.marks.len() > 1 {
            cache = self.decoder.select(&cache, &vec![0; prompt.marks.len()])?;
        }
        timings.prefill = millis(start);
        Ok(cache)
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

pub(crate) fn millis(since: Instant) -> Millis {
    since.elapsed().as_secs_f64() * 1000.0
}
