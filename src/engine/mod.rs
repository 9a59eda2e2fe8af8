//! The loop that every answer comes from: read a piece of a newcomer's prompt, step everyone.
//!
//! [`crate::Omni::stream`] drives it for one question, [`crate::Scheduler`] for many. Newcomers take
//! their pieces in turn, so that none waits for more than one piece of each other. Answers whose
//! players have much left to play give way to newcomers. A question comes
//! through the `front_end`, its prompt is read (`prefill`), then its answer takes steps in the
//! `batch`; its `writer` sends words to the `sink` and frames to the `codec_queue`.

mod batch;
mod capacity;
pub(crate) mod codec_queue;
pub(crate) mod front_end;
mod memory;
mod permit;
mod prefill;
mod registry;
mod sink;
pub(crate) mod window;
mod writer;

use std::collections::VecDeque;
use std::time::Duration;

use crate::ask::Options;
use crate::graph::{Decoder, KvCache};
use crate::model::manifest::Manifest;
use crate::model::tokenizer::Tokenizer;
use crate::trace::Trace;

pub(crate) use batch::{Batch, Joining};
use codec_queue::CodecQueue;
use front_end::Prepared;
pub use memory::Memory;
use memory::{Kept, Reading};
pub(crate) use permit::Permit;
pub(crate) use prefill::Prefill;
pub(crate) use registry::Registry;
pub use sink::Answer;
pub(crate) use sink::{Ending, Receive, Sink};
pub(crate) use writer::{FrameSink, Length, Writer};

/// How long an advance waits for the codec if no prompt is to be read: sinks and new questions are
/// looked at this often.
pub(crate) const PATIENCE: Duration = Duration::from_millis(20);

/// Pieces that a newcomer reads at once while nobody else waits.
const ALONE: usize = 16;

/// What every player must have left to play before its answer gives way to a newcomer: more than it
/// takes to read a prompt, or to find that an encoder will be long.
const LEAD: Duration = Duration::from_secs(1);

/// What an engine writes answers with.
#[derive(Clone, Copy)]
pub(crate) struct Tools<'a> {
    pub manifest: &'a Manifest,
    pub tokenizer: &'a Tokenizer,
    pub codec_queue: &'a CodecQueue,
}

/// All answers from the prompt on.
pub(crate) struct Engine<'a> {
    tools: Tools<'a>,
    decoder: &'a mut Decoder,
    newcomers: VecDeque<Newcomer>,
    batch: Batch<'a>,
    /// Most prompt columns read between two steps.
    prefill_columns: usize,
}

/// A prepared question with how it is to be answered, and where to.
pub(crate) struct Admission {
    pub prepared: Prepared,
    pub options: Options,
    /// What the conversation has read before.
    pub memory: Option<Memory>,
    /// Whether its row is given back at the end.
    pub keep_memory: bool,
    pub sink: Sink,
}

/// A question whose prompt is being read.
struct Newcomer {
    prefill: Prefill,
    options: Options,
    /// What was read before its prompt.
    before: Vec<Kept>,
    keep_memory: bool,
    sink: Sink,
}

impl<'a> Engine<'a> {
    /// `partner`, an empty row, makes it step in pairs: see [`batch`].
    pub fn new(
        tools: Tools<'a>,
        decoder: &'a mut Decoder,
        prefill_columns: usize,
        partner: Option<KvCache>,
    ) -> Engine<'a> {
        let prefill_columns = match decoder.is_on_a_device() {
            true => usize::MAX,
            false => prefill_columns,
        };
        Engine {
            batch: Batch::new(tools.manifest.ids.streams(), partner),
            tools,
            decoder,
            newcomers: VecDeque::new(),
            prefill_columns,
        }
    }

    /// Whether there is nothing to do.
    pub fn is_idle(&self) -> bool {
        self.newcomers.is_empty() && self.batch.is_empty()
    }

    /// Whether the answers under way can wait for a question that is being encoded: all have sound to
    /// play meanwhile, and no prompt is to be read.
    pub fn can_wait(&self) -> bool {
        !self.batch.is_empty() && self.newcomers.is_empty() && self.are_ahead()
    }

    /// Whether no answer under way needs its next step soon. One that does not speak does.
    fn are_ahead(&self) -> bool {
        self.batch.all_speak() && self.tools.codec_queue.is_ahead(LEAD)
    }

    /// Takes a question in.
    pub fn admit(&mut self, admission: Admission) {
        let Admission {
            prepared,
            options,
            memory,
            keep_memory,
            sink,
        } = admission;
        match Prefill::new(self.decoder, prepared, memory.as_ref()) {
            Ok(prefill) => self.newcomers.push_back(Newcomer {
                prefill,
                options,
                before: memory.map_or_else(Vec::new, |memory| memory.record().to_vec()),
                keep_memory,
                sink,
            }),
            Err(error) => sink.end(Err(error)),
        }
    }

    /// Once around: a piece of one prompt, then a step of every answer, unless the codec is behind
    /// with all of them. An error ends the answers it concerns and no other.
    pub fn advance(&mut self) {
        self.end_cancelled();
        self.read_a_piece();
        let patience = if self.newcomers.is_empty() {
            PATIENCE
        } else {
            Duration::ZERO
        };
        if self.batch.all_speak() && !self.tools.codec_queue.wait_for_room(patience) {
            return;
        }
        if let Err(error) = self.batch.step(self.decoder) {
            self.batch.fail(&error);
        }
    }

    /// Ends the answers that nobody wants any more.
    pub fn end_cancelled(&mut self) {
        let streams = self.tools.manifest.ids.streams();
        self.newcomers.retain(|one| {
            if one.sink.is_over() {
                let length = one.prefill.prepared.prompt.columns();
                let trace = Trace::new(one.options.task.name(), length, streams);
                one.sink.end(Ok(Box::new(trace)));
            }
            !one.sink.is_over()
        });
        self.batch.end_cancelled();
    }

    fn read_a_piece(&mut self) {
        let Some(mut newcomer) = self.newcomers.pop_front() else {
            return;
        };
        let nobody_waits = self.newcomers.is_empty() && self.are_ahead();
        let columns = if nobody_waits {
            self.prefill_columns.saturating_mul(ALONE)
        } else {
            self.prefill_columns
        };
        let read = newcomer
            .prefill
            .advance(self.decoder, columns, &newcomer.sink);
        match read {
            Ok(true) => self.begin(newcomer),
            Ok(false) => self.newcomers.push_back(newcomer),
            Err(error) => newcomer.sink.end(Err(error)),
        }
    }

    fn begin(&mut self, newcomer: Newcomer) {
        let Newcomer {
            prefill,
            options,
            before,
            keep_memory,
            sink,
        } = newcomer;
        let (prepared, prefilled) = prefill.finish();
        let Tools {
            manifest,
            tokenizer,
            codec_queue,
        } = self.tools;
        let length = Length {
            prompt: prepared.prompt.columns(),
            steps: prepared.steps,
        };
        let frames = match options.task.speaks() {
            true => FrameSink::Codec(codec_queue, codec_queue.start(&sink, options.noise)),
            false => FrameSink::None,
        };
        let writer = Writer::new((manifest, tokenizer), &options, length, frames, sink);
        self.batch.join(Joining {
            writer,
            most: prefilled.length(0) + 1 + length.steps,
            prefilled,
            marks: prepared.prompt.marks,
            reading: keep_memory
                .then(|| Reading::new(before, prepared.prompt.shared, prepared.features)),
        });
    }
}
