//! Many conversations at once: one model, one batch, every answer on time.
//!
//! One thread hears questions (mel, encoder), one turns the [`Engine`] that reads prompts in pieces
//! and steps all answers together, and codec threads serve the answer whose player would run dry
//! first. What an answer says does not depend on who else is answered: in the fused profile to the
//! bit, since rows are computed in pairs ([`crate::batch`]); in the portable one as far as rounding
//! goes. [`Omni::stream`] computes a lone row alone, which is faster, and in a quantised model may
//! round otherwise.
//!
//! ```no_run
//! # use mini_omni::{Limits, Omni, Options, Provider, Question, Runtime, Scheduler, task};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = Runtime::load(Provider::Cpu, 0)?;
//! let omni = Omni::load("onnx/mini-omni".as_ref(), &runtime)?;
//! let scheduler = Scheduler::new(omni, Limits::default())?;
//! let question = Question::Text("What is your name?".into());
//! let mut conversation = scheduler.submit(question, Options::for_task(&task::T1A2))?;
//! for event in &mut conversation { /* text and sound, as they come */ }
//! let trace = conversation.finish()?;
//! # Ok(())
//! # }
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::conversation::{Conversation, Place, Reply};
use crate::engine::{Engine, Tools};
use crate::error::Result;
use crate::graph::{CodecDecoder, Decoder, KvCache};
use crate::hear::{Ear, Heard};
use crate::manifest::Manifest;
use crate::omni::{Omni, Options, Question};
use crate::speech::Speech;
use crate::text::Text;
use crate::trace::Millis;

/// What a scheduler takes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Conversations at once, from `submit` to their end; above it `submit` says [`Busy`].
    pub conversations: usize,
    /// Most prompt columns read between two steps: fewer keep the running answers smoother, more
    /// begin the new one sooner.
    pub prefill_columns: usize,
    /// Threads that turn frames into sound; each but the first opens the codec once more, with its
    /// weights in memory.
    pub codec_threads: usize,
}

impl Default for Limits {
    /// Eight conversations, pieces of 16 columns, a codec thread for every core but at most four.
    fn default() -> Limits {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Limits {
            conversations: 8,
            prefill_columns: 16,
            codec_threads: cores.min(4),
        }
    }
}

/// All places are taken; ask again when a conversation has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("busy: {conversations} conversations are under way, the most at once; ask again later")]
pub struct Busy {
    /// The limit.
    pub conversations: usize,
}

/// Answers many conversations at once. Dropping it waits for those under way.
pub struct Scheduler {
    questions: Option<Sender<Submission>>,
    taken: Arc<AtomicUsize>,
    limits: Limits,
    threads: Vec<JoinHandle<()>>,
}

/// A question that was let in.
struct Submission {
    question: Question,
    options: Options,
    reply: Reply,
    start: Instant,
}

/// A question that was heard.
struct Asked {
    heard: Heard,
    options: Options,
    reply: Reply,
}

impl Scheduler {
    /// Starts the threads. Fails if the codec cannot be opened for each of its threads.
    pub fn new(omni: Omni, limits: Limits) -> Result<Scheduler> {
        let codecs = (0..limits.codec_threads.max(1))
            .map(|_| omni.open_codec())
            .collect::<Result<Vec<_>>>()?;
        let speech = Arc::new(omni.speech());
        let Omni {
            manifest,
            text,
            ear,
            decoder,
            load,
            ..
        } = omni;
        let partner = decoder.cache(1, 1)?;
        let (questions, submissions) = channel();
        let (asked, heard) = channel();
        let mut threads = vec![std::thread::spawn(move || {
            hear(ear, load, &submissions, &asked)
        })];
        for codec in codecs {
            let speech = speech.clone();
            let serve = move |mut codec: CodecDecoder| speech.serve(&mut codec);
            threads.push(std::thread::spawn(move || serve(codec)));
        }
        let columns = limits.prefill_columns;
        threads.push(std::thread::spawn(move || {
            answer(
                (decoder, partner),
                columns,
                (&manifest, &text, &speech),
                &heard,
            );
        }));
        Ok(Scheduler {
            questions: Some(questions),
            taken: Arc::default(),
            limits,
            threads,
        })
    }

    /// Asks. What is wrong with the question is told by [`Conversation::finish`].
    pub fn submit(&self, question: Question, options: Options) -> Result<Conversation, Busy> {
        let places = self.limits.conversations;
        let busy = Busy {
            conversations: places,
        };
        let place = Place::take(&self.taken, places).ok_or(busy)?;
        let (reply, conversation) = Reply::new(Some(place));
        if let Some(questions) = &self.questions {
            // If the threads are gone, so is the reply, and the conversation says so.
            let _ = questions.send(Submission {
                question,
                options,
                reply,
                start: Instant::now(),
            });
        }
        Ok(conversation)
    }

    /// Conversations under way.
    pub fn conversations(&self) -> usize {
        self.taken.load(Ordering::Acquire)
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.questions = None;
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so on standard error.
            let _ = thread.join();
        }
    }
}

/// The ear's thread: questions to prompts, in the order they came.
fn hear(mut ear: Ear, load: Millis, submissions: &Receiver<Submission>, asked: &Sender<Asked>) {
    for submission in submissions {
        let Submission {
            question,
            options,
            reply,
            start,
        } = submission;
        if reply.is_cancelled() {
            continue;
        }
        match ear.hear(&question, &options, start) {
            Ok(mut heard) => {
                heard.timings.load = load;
                // If the decoder's thread is gone, so is the reply, and the conversation says so.
                let _ = asked.send(Asked {
                    heard,
                    options,
                    reply,
                });
            }
            Err(error) => reply.end(Err(error)),
        }
    }
}

/// The decoder's thread: turns the engine until nobody can ask any more and all is answered.
fn answer(
    (mut decoder, partner): (Decoder, KvCache),
    prefill_columns: usize,
    (manifest, text, speech): (&Manifest, &Text, &Speech),
    asked: &Receiver<Asked>,
) {
    let speech = speech.open();
    let tools = Tools {
        manifest,
        text,
        speech: &speech,
    };
    let mut engine = Engine::new(tools, &mut decoder, prefill_columns, Some(partner));
    let admit = |engine: &mut Engine, one: Asked| engine.admit(one.heard, one.options, one.reply);
    loop {
        if engine.is_idle() {
            match asked.recv() {
                Ok(one) => admit(&mut engine, one),
                Err(_) => return,
            }
        }
        while let Ok(one) = asked.try_recv() {
            admit(&mut engine, one);
        }
        engine.turn();
    }
}
