//! A question in, an answer out, while it is being written: the one path through the model.
//!
//! [`Omni::stream`] is what the command line, the benches and the tests all call; they differ in the
//! sink they give it. [`crate::Scheduler`] turns the same loop for many conversations.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crate::audio::Pcm;
use crate::conversation::Reply;
use crate::engine::{Engine, Tools};
use crate::error::Result;
use crate::graph::decoder::Call;
use crate::graph::{CodecDecoder, Decoder, Encoder, Runtime};
use crate::hear::Ear;
use crate::manifest::Manifest;
use crate::mel::MelSpectrogram;
use crate::noise::Noise;
use crate::sampling::SamplingConfig;
use crate::speech::Speech;
use crate::task::{Source, Task};
use crate::text::Text;
use crate::trace::{Millis, Trace};
use crate::turn::Forced;

/// What is asked.
#[derive(Debug, Clone)]
pub enum Question {
    /// Speech, mono, any sample rate.
    Audio(Pcm),
    Text(String),
}

impl Question {
    /// Speech or text.
    pub fn source(&self) -> Source {
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
    /// A length of its own, whatever the model would say.
    pub forced: Option<Forced>,
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
            forced: None,
        }
    }
}

/// A piece of the answer, the moment it exists.
#[derive(Debug)]
pub enum Event {
    /// Whole characters.
    Text(String),
    /// Mono samples at the codec's rate.
    Audio(Vec<f32>),
}

/// Takes the answer as it comes; an error from it ends the answer.
pub type Sink<'a> = dyn FnMut(Event) -> Result<()> + 'a;

/// A loaded model.
pub struct Omni {
    pub manifest: Arc<Manifest>,
    pub(crate) text: Arc<Text>,
    pub(crate) ear: Ear,
    pub(crate) decoder: Decoder,
    pub(crate) codec: CodecDecoder,
    pub(crate) load: Millis,
    folder: PathBuf,
    runtime: Runtime,
}

impl Omni {
    /// Opens the model in `folder`.
    pub fn load(folder: &Path, runtime: &Runtime) -> Result<Omni> {
        let start = Instant::now();
        let manifest = Arc::new(Manifest::load(folder)?);
        let codec_threads = if runtime.takes_turns() {
            runtime.threads
        } else {
            1
        };
        // Opening a graph keeps one core busy; the decoder takes as long as the rest together.
        let (decoder, (encoder, codec, text)) = rayon::join(
            || Decoder::open(runtime, folder, &manifest),
            || {
                (
                    Encoder::open(runtime, folder, &manifest),
                    CodecDecoder::open(runtime, folder, &manifest, codec_threads),
                    Text::open(folder, &manifest),
                )
            },
        );
        let text = Arc::new(text?);
        let mut omni = Omni {
            ear: Ear {
                manifest: manifest.clone(),
                text: text.clone(),
                mel: MelSpectrogram::new(&manifest.mel),
                encoder: encoder?,
            },
            decoder: decoder?,
            codec: codec?,
            text,
            manifest,
            load: 0.0,
            folder: folder.to_path_buf(),
            runtime: runtime.clone(),
        };
        omni.load = millis(start);
        Ok(omni)
    }

    /// The codec once more, to run on one thread.
    pub(crate) fn open_codec(&self) -> Result<CodecDecoder> {
        CodecDecoder::open(&self.runtime, &self.folder, &self.manifest, 1)
    }

    /// The speaking side of its answers.
    pub(crate) fn speech(&self) -> Speech {
        Speech::new(self.manifest.codec.sample_rate, self.runtime.takes_turns())
    }

    /// Answers, giving the answer to `sink` as it comes.
    pub fn stream(
        &mut self,
        question: &Question,
        options: &Options,
        sink: &mut Sink,
    ) -> Result<Trace> {
        let start = Instant::now();
        let mut heard = self.ear.hear(question, options, start)?;
        heard.timings.load = self.load;
        let speech = self.speech();
        let tools = Tools {
            manifest: &self.manifest,
            text: &self.text,
            speech: &speech,
        };
        let (reply, mut conversation) = Reply::new(None);
        let mut engine = Engine::new(tools, &mut self.decoder, usize::MAX, None);
        let codec = &mut self.codec;
        let mut first_audio = None;
        let mut give = |event: Event| {
            if matches!(event, Event::Audio(_)) {
                first_audio.get_or_insert_with(|| millis(start));
            }
            sink(event)
        };
        let mut trace = std::thread::scope(|scope| {
            let _open = speech.open();
            if options.task.speaks() {
                scope.spawn(|| speech.serve(codec));
            }
            engine.admit(heard, options.clone(), reply);
            while !engine.is_idle() {
                engine.turn();
                while let Some(event) = conversation.try_next() {
                    give(event)?;
                }
            }
            for event in &mut conversation {
                give(event)?;
            }
            conversation.finish()
        })?;
        trace.timings_ms.first_audio = first_audio;
        trace.timings_ms.total = millis(start);
        Ok(trace)
    }

    /// Times `n` passes of the decoder over one row with both heads, at `position`; none where the
    /// model has no such position.
    pub fn time_steps(&mut self, position: usize, n: usize) -> Result<Vec<Millis>> {
        let capacity = position + n + 1;
        if capacity > self.manifest.decoder.max_length {
            return Ok(Vec::new());
        }
        let mut cache = self.decoder.cache_at(&[position], capacity)?;
        let ids = vec![0; self.manifest.ids.streams()];
        let call = Call {
            ids: &ids,
            seq: 1,
            features: None,
            text_rows: &[0],
            audio_rows: &[0],
        };
        self.decoder.run(&mut cache, call)?;
        let time = |_| {
            let start = Instant::now();
            self.decoder.run(&mut cache, call)?;
            Ok(millis(start))
        };
        (0..n).map(time).collect()
    }

    /// Answers and keeps the sound.
    pub fn run(&mut self, question: &Question, options: &Options) -> Result<(Trace, Vec<f32>)> {
        let mut pcm = Vec::new();
        let trace = self.stream(question, options, &mut |event| {
            if let Event::Audio(chunk) = event {
                pcm.extend_from_slice(&chunk);
            }
            Ok(())
        })?;
        Ok((trace, pcm))
    }
}

pub(crate) fn millis(since: Instant) -> Millis {
    since.elapsed().as_secs_f64() * 1000.0
}
