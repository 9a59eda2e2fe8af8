//! Many conversations at once: one model, one batch, every answer on time.
//!
//! Front-end threads prepare questions (mel, encoder), one thread drives the engine that reads prompts
//! in pieces and steps all answers together (not while a question is prepared and every player has
//! enough to play), and codec threads serve the answer whose player would
//! run dry first. What an answer says does not depend on who else is answered: in the fused profile
//! to the bit, since rows are computed in pairs; in the portable one as far as rounding goes.
//! [`Omni::stream`] computes a lone row alone, which is faster, and may round otherwise.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::ask::{Event, Millis, Options, Question};
use crate::decoding::generation::Ended;
use crate::engine::codec_queue::CodecQueue;
use crate::engine::front_end::{FrontEnd, check_source, prepare_text};
use crate::engine::{
    Admission, Answer, Ending, Engine, Memory, PATIENCE, Permit, Receive, Registry, Sink, Tools,
};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Decoder, KvCache};
use crate::model::manifest::Manifest;
use crate::model::tokenizer::Tokenizer;
use crate::omni::Omni;
use crate::trace::Trace;

/// What a scheduler takes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Answers at once, from `submit` to their end; above it `submit` is refused as
    /// [`ErrorKind::Busy`].
    pub answers: usize,
    /// Most prompt columns read between two steps: fewer keep the running answers smoother, more
    /// begin the new one sooner. A GPU reads a whole prompt in about the time of a step, and does.
    pub prefill_columns: usize,
    /// Threads that turn questions into prompts; each but the first opens the encoder once more, with
    /// its weights in memory.
    pub front_end_threads: usize,
    /// Threads that turn frames into sound; each but the first opens the codec once more, with its
    /// weights in memory.
    pub codec_threads: usize,
}

impl Default for Limits {
    /// Eight answers, pieces of 16 columns, a codec thread for every core but at most four, a front
    /// end for every four cores but at most four.
    fn default() -> Limits {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Limits {
            answers: 8,
            prefill_columns: 16,
            front_end_threads: (cores / 4).clamp(1, 4),
            codec_threads: cores.min(4),
        }
    }
}

/// A question for a scheduler, with all that may be said about its answer.
#[non_exhaustive]
pub struct Request {
    /// What is asked.
    pub question: Question,
    /// How it is to be answered.
    pub options: Options,
    /// When the question came: times are counted from here.
    pub start: Instant,
    /// What the conversation has read before, if the question follows an answer.
    pub memory: Option<Memory>,
    /// Whether [`Answer::finish_with_memory`] gives the conversation's memory back, unless the answer
    /// is held and discarded.
    pub keep_memory: bool,
    /// Whether the events wait until [`Answer::release`] or [`Answer::cancel`].
    pub held: bool,
    receive: Option<Receive>,
    ending: Option<Ending>,
}

impl Request {
    /// A question that comes now and follows no other.
    pub fn new(question: Question, options: Options) -> Request {
        Request {
            question,
            options,
            start: Instant::now(),
            memory: None,
            keep_memory: false,
            held: false,
            receive: None,
            ending: None,
        }
    }

    /// Gives the events to `sink`, in order, and not to the [`Answer`]. It is called on the threads
    /// that write all answers, so it must not wait for anything; where it breaks, or panics, the
    /// answer is cancelled.
    pub fn sink(mut self, sink: impl FnMut(Event) -> ControlFlow<()> + Send + 'static) -> Request {
        self.receive = Some(Box::new(sink));
        self
    }

    /// Gives the end to `end`, behind the last event, and not to the [`Answer`]: the record, and the
    /// conversation's memory if it was to be kept. It is called on the threads that write all
    /// answers, or on the one that releases or discards a held answer, so it must not wait.
    pub fn at_end(
        mut self,
        end: impl FnOnce(Result<(Trace, Option<Memory>)>) + Send + 'static,
    ) -> Request {
        self.ending = Some(Box::new(|ended| {
            end(ended.map(|(trace, memory)| (*trace, memory)));
        }));
        self
    }
}

/// Answers many conversations at once. Dropping it waits for the answers under way.
///
/// ```
/// use mini_omni::{Event, Limits, Omni, Options, Provider, Question, Request, Runtime, Scheduler, Task};
///
/// # if std::env::var_os("ORT_DYLIB_PATH").is_none() { return Ok(()); } // make test sets it
/// let runtime = Runtime::load(Provider::Cpu, 0)?;
/// let omni = Omni::load("onnx/mini-omni-small".as_ref(), &runtime)?;
/// let scheduler = Scheduler::new(omni, Limits::default())?;
/// let question = Question::Text("What is your name?".into());
/// let mut answer = scheduler.submit(Request::new(question, Options::for_task(Task::T1A2)))?;
/// for event in &mut answer {
///     if let Event::Text(text) = event {
///         print!("{text}");
///     }
/// }
/// let trace = answer.finish()?;
/// # Ok::<(), mini_omni::Error>(())
/// ```
pub struct Scheduler {
    /// `None` once it is being dropped.
    entrance: Option<Entrance>,
    manifest: Arc<Manifest>,
    tokenizer: Arc<Tokenizer>,
    taken: Arc<AtomicUsize>,
    /// Spoken questions on their way to the decoder.
    encoding: Arc<AtomicUsize>,
    registry: Registry,
    limits: Limits,
    load: Millis,
    threads: Vec<JoinHandle<()>>,
}

/// Where questions go in.
struct Entrance {
    /// Spoken ones, to the front ends.
    spoken: Sender<Submission>,
    /// Written ones, which need no encoder, to the decoder.
    prepared: Sender<Admission>,
}

/// A question that was let in.
struct Submission {
    question: Question,
    options: Options,
    memory: Option<Memory>,
    keep_memory: bool,
    sink: Sink,
    /// Its place among those that are being encoded.
    encoding: Option<Permit>,
}

impl Scheduler {
    /// Starts the threads. Fails if a graph cannot be opened for each of its threads.
    pub fn new(omni: Omni, limits: Limits) -> Result<Scheduler> {
        let codecs = (0..limits.codec_threads.max(1))
            .map(|_| omni.open_codec())
            .collect::<Result<Vec<_>>>()?;
        let more_front_ends = (1..limits.front_end_threads)
            .map(|_| omni.open_front_end())
            .collect::<Result<Vec<_>>>()?;
        let codec_queue = Arc::new(omni.codec_queue());
        let partner = omni.decoder.cache(1, 1)?;
        let (spoken, submissions) = channel();
        let (prepared, admissions) = channel();
        let mut scheduler = Scheduler {
            entrance: Some(Entrance {
                spoken,
                prepared: prepared.clone(),
            }),
            manifest: omni.manifest,
            tokenizer: omni.tokenizer,
            taken: Arc::default(),
            encoding: Arc::default(),
            registry: Registry::default(),
            limits,
            load: omni.load,
            threads: Vec::new(),
        };
        let submissions = Arc::new(Mutex::new(submissions));
        for front_end in more_front_ends.into_iter().chain([omni.front_end]) {
            let (submissions, prepared) = (submissions.clone(), prepared.clone());
            scheduler.spawn("front-end", move || {
                prepare(front_end, &submissions, &prepared);
            });
        }
        for mut codec in codecs {
            let queue = codec_queue.clone();
            scheduler.spawn("codec", move || queue.serve(|job| job.run(&mut codec)));
        }
        let (manifest, tokenizer) = (scheduler.manifest.clone(), scheduler.tokenizer.clone());
        let (decoder, encoding) = (omni.decoder, scheduler.encoding.clone());
        scheduler.spawn("decoder", move || {
            answer(
                (decoder, partner),
                limits.prefill_columns,
                (&manifest, &tokenizer, &codec_queue),
                (&admissions, &encoding),
            );
        });
        Ok(scheduler)
    }

    /// A thread whose death ends every answer.
    fn spawn(&mut self, name: &'static str, run: impl FnOnce() + Send + 'static) {
        let guard = self.registry.guard(name);
        self.threads.push(std::thread::spawn(move || {
            let _guard = guard;
            run();
        }));
    }

    /// Asks. Refuses at once what can be known at once: [`ErrorKind::Busy`], a task that answers
    /// other questions, a text without words; the rest is told by [`Answer::finish`].
    pub fn submit(&self, request: Request) -> Result<Answer> {
        check_source(&request.question, &request.options)?;
        let permit = Permit::take(&self.taken, self.limits.answers).ok_or_else(|| self.busy())?;
        let (sink, answer) = Sink::new(request.start, request.receive);
        sink.keep_permit(permit);
        sink.time(|timings| timings.load = self.load);
        if request.held {
            sink.hold();
        }
        if let Some(ending) = request.ending {
            sink.at_end(ending);
        }
        self.registry.add(&sink)?;
        self.enter(Submission {
            question: request.question,
            options: request.options,
            memory: request.memory,
            keep_memory: request.keep_memory,
            sink,
            encoding: None,
        })?;
        Ok(answer)
    }

    /// A thread that is gone has taken the other end with it: then the sink is dropped here, and the
    /// answer says so.
    fn enter(&self, mut submission: Submission) -> Result<()> {
        let Some(entrance) = &self.entrance else {
            return Ok(());
        };
        match &submission.question {
            Question::Text(text) => {
                let past = position(&submission.memory);
                let options = &submission.options;
                let prepared = prepare_text(&self.manifest, &self.tokenizer, text, options, past)?;
                let _ = entrance.prepared.send(submission.admission(prepared));
            }
            Question::Audio(_) => {
                submission.encoding = Permit::take(&self.encoding, usize::MAX);
                let _ = entrance.spoken.send(submission);
            }
        }
        Ok(())
    }

    fn busy(&self) -> Error {
        let sentence = format!(
            "{} answers are under way, the most at once; ask again later",
            self.limits.answers
        );
        Error::new(ErrorKind::Busy, sentence)
    }

    /// What the model folder says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Answers under way.
    pub fn answers(&self) -> usize {
        self.taken.load(Ordering::Acquire)
    }

    /// Whether all its threads live. Where one died, every answer under way ended with
    /// [`ErrorKind::Stopped`], and so does every later question.
    pub fn is_alive(&self) -> bool {
        self.registry.is_alive()
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.entrance = None;
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so on standard error.
            let _ = thread.join();
        }
    }
}

impl Submission {
    fn admission(self, prepared: crate::engine::front_end::Prepared) -> Admission {
        Admission {
            prepared,
            options: self.options,
            memory: self.memory,
            keep_memory: self.keep_memory,
            sink: self.sink,
        }
    }

    /// Ends without an answer, the conversation's memory as it was.
    fn heard_nothing(self, front_end: &FrontEnd) {
        if let (true, Some(memory)) = (self.keep_memory, self.memory) {
            self.sink.keep_memory(memory);
        }
        front_end.heard_nothing(&self.options, &self.sink);
    }
}

fn position(memory: &Option<Memory>) -> usize {
    memory.as_ref().map_or(0, Memory::position)
}

/// A front end's thread: questions to prompts, in the order they came.
fn prepare(
    mut front_end: FrontEnd,
    submissions: &Mutex<Receiver<Submission>>,
    prepared: &Sender<Admission>,
) {
    let next = || {
        let submissions = submissions.lock().unwrap_or_else(PoisonError::into_inner);
        submissions.recv()
    };
    while let Ok(submission) = next() {
        let Submission {
            question,
            options,
            memory,
            sink,
            ..
        } = &submission;
        if sink.is_over() {
            sink.end(Ok(front_end.unanswered(options, Ended::Cancelled)));
            continue;
        }
        match front_end.prepare(question, options, position(memory), sink) {
            // If the decoder's thread is gone the sink is dropped, and the answer says so.
            Ok(Some(question)) => drop(prepared.send(submission.admission(question))),
            Ok(None) => submission.heard_nothing(&front_end),
            Err(error) => sink.end(Err(error)),
        }
    }
}

/// The decoder's thread: drives the engine until nobody can ask any more and all is answered.
fn answer(
    (mut decoder, partner): (Decoder, KvCache),
    prefill_columns: usize,
    (manifest, tokenizer, codec_queue): (&Manifest, &Tokenizer, &CodecQueue),
    (admissions, encoding): (&Receiver<Admission>, &AtomicUsize),
) {
    let codec_queue = codec_queue.open();
    let tools = Tools {
        manifest,
        tokenizer,
        codec_queue: &codec_queue,
    };
    let mut engine = Engine::new(tools, &mut decoder, prefill_columns, Some(partner));
    loop {
        if engine.is_idle() {
            match admissions.recv() {
                Ok(one) => engine.admit(one),
                Err(_) => return,
            }
        }
        while let Ok(one) = admissions.try_recv() {
            engine.admit(one);
        }
        if encoding.load(Ordering::Acquire) > 0 && engine.can_wait() {
            // The encoder gets the cores.
            admissions
                .recv_timeout(PATIENCE)
                .into_iter()
                .for_each(|one| engine.admit(one));
            engine.end_cancelled();
            continue;
        }
        engine.advance();
    }
}
