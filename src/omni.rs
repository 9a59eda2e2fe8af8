//! A model, loaded: a question in, an answer out while it is being written.
//!
//! [`Omni::stream`] is what the command line, the benches and the tests call; they differ in the sink
//! they give it. [`crate::Scheduler`] drives the same engine for many conversations.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crate::ask::{Event, Millis, Options, Question, millis};
use crate::engine::codec_queue::CodecQueue;
use crate::engine::front_end::{FrontEnd, check_source, prepare_text};
use crate::engine::{Admission, Answer, Engine, Sink, Tools};
use crate::error::Result;
use crate::graph::{CodecDecoder, Decoder, Encoder, Runtime, Vad};
use crate::model::manifest::Manifest;
use crate::model::tokenizer::Tokenizer;
use crate::trace::Trace;

/// A loaded model.
///
/// ```
/// use std::ops::ControlFlow;
/// use mini_omni::{Event, Omni, Options, Provider, Question, Runtime, Task};
///
/// # if std::env::var_os("ORT_DYLIB_PATH").is_none() { return Ok(()); } // make test sets it
/// let runtime = Runtime::load(Provider::Cpu, 0)?;
/// let mut omni = Omni::load("onnx/mini-omni-small".as_ref(), &runtime)?;
/// let question = Question::Text("What is the capital of France?".into());
/// let options = Options::for_task(Task::T1A2);
/// let trace = omni.stream(&question, &options, |event| {
///     if let Event::Text(text) = event {
///         print!("{text}");
///     }
///     ControlFlow::Continue(())
/// })?;
/// println!("\nended by {}", trace.ended.name());
/// # Ok::<(), mini_omni::Error>(())
/// ```
pub struct Omni {
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) tokenizer: Arc<Tokenizer>,
    pub(crate) front_end: FrontEnd,
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
        runtime.check_profile(&manifest.profile)?;
        let codec_threads = if runtime.alternates() {
            runtime.threads()
        } else {
            1
        };
        // Opening a graph keeps one core busy; the decoder takes as long as the rest together.
        let (decoder, (vad, encoder, codec, tokenizer)) = rayon::join(
            || Decoder::open(runtime, folder, &manifest),
            || {
                (
                    Vad::open(runtime),
                    Encoder::open(runtime, folder, &manifest),
                    CodecDecoder::open(runtime, folder, &manifest, codec_threads),
                    Tokenizer::open(folder, &manifest),
                )
            },
        );
        let tokenizer = Arc::new(tokenizer?);
        Ok(Omni {
            front_end: FrontEnd::new(manifest.clone(), tokenizer.clone(), vad?, encoder?),
            decoder: decoder?,
            codec: codec?,
            tokenizer,
            manifest,
            load: millis(start.elapsed()),
            folder: folder.to_path_buf(),
            runtime: runtime.clone(),
        })
    }

    /// Refuses a written question that the model in `folder` could not take. Opens no graph.
    pub fn check_text(folder: &Path, text: &str, options: &Options) -> Result<()> {
        let manifest = Manifest::load(folder)?;
        let tokenizer = Tokenizer::open(folder, &manifest)?;
        prepare_text(&manifest, &tokenizer, text, options, 0).map(drop)
    }

    /// What the model folder says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where the model is, and what it runs on.
    pub(crate) fn place(&self) -> (&Runtime, &Path) {
        (&self.runtime, &self.folder)
    }

    /// The codec once more, to run on one thread.
    pub(crate) fn open_codec(&self) -> Result<CodecDecoder> {
        CodecDecoder::open(&self.runtime, &self.folder, &self.manifest, 1)
    }

    /// The front end once more, with an encoder of its own.
    pub(crate) fn open_front_end(&self) -> Result<FrontEnd> {
        let encoder = Encoder::open(&self.runtime, &self.folder, &self.manifest)?;
        let (manifest, tokenizer) = (self.manifest.clone(), self.tokenizer.clone());
        let vad = Vad::open(&self.runtime)?;
        Ok(FrontEnd::new(manifest, tokenizer, vad, encoder))
    }

    /// The queue in front of its codec.
    pub(crate) fn codec_queue(&self) -> CodecQueue {
        CodecQueue::new(self.manifest.codec.sample_rate, self.runtime.alternates())
    }

    /// Answers, giving the answer to `sink` as it comes; where `sink` breaks, the answer ends there.
    /// The record of what was handed over follows, or why there is none.
    pub fn stream(
        &mut self,
        question: &Question,
        options: &Options,
        mut sink: impl FnMut(Event) -> ControlFlow<()>,
    ) -> Result<Trace> {
        check_source(question, options)?;
        let (writing, mut answer) = Sink::new(Instant::now(), None);
        writing.time(|timings| timings.load = self.load);
        let Some(prepared) = self.front_end.prepare(question, options, 0, &writing)? else {
            self.front_end.heard_nothing(options, &writing);
            deliver(&mut answer, &mut sink);
            return answer.finish();
        };
        let codec_queue = self.codec_queue();
        let tools = Tools {
            manifest: &self.manifest,
            tokenizer: &self.tokenizer,
            codec_queue: &codec_queue,
        };
        let mut engine = Engine::new(tools, &mut self.decoder, usize::MAX, None);
        let codec = &mut self.codec;
        std::thread::scope(|scope| {
            let open = codec_queue.open();
            if options.task.speaks() {
                scope.spawn(|| codec_queue.serve(|job| job.run(codec)));
            }
            engine.admit(Admission {
                prepared,
                options: options.clone(),
                memory: None,
                keep_memory: false,
                sink: writing,
            });
            // Moved in, so that the queue closes when the engine has done.
            scope.spawn(move || {
                let _open = open;
                while !engine.is_idle() {
                    engine.advance();
                }
            });
            deliver(&mut answer, &mut sink);
            answer.finish()
        })
    }

    /// Answers and keeps the sound: mono samples at the codec's rate.
    pub fn run(&mut self, question: &Question, options: &Options) -> Result<(Trace, Vec<f32>)> {
        let mut pcm = Vec::new();
        let trace = self.stream(question, options, |event| {
            if let Event::Audio(chunk) = event {
                pcm.extend_from_slice(&chunk);
            }
            ControlFlow::Continue(())
        })?;
        Ok((trace, pcm))
    }
}

/// Gives the events to `sink` until it breaks, which cancels the answer.
fn deliver(answer: &mut Answer, sink: &mut impl FnMut(Event) -> ControlFlow<()>) {
    while let Some(event) = answer.next() {
        if sink(event).is_break() {
            return answer.cancel();
        }
    }
}
