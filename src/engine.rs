//! The loop that every answer comes from: read a piece of a newcomer's prompt, step everyone.
//!
//! [`crate::Omni::stream`] turns it for one conversation, [`crate::Scheduler`] for many. Newcomers
//! take their pieces in turn, so that none waits for more than one piece of each other.

use std::collections::VecDeque;
use std::time::Duration;

use crate::answer::Answer;
use crate::batch::Batch;
use crate::conversation::Reply;
use crate::graph::KvCache;
use crate::graph::decoder::Decoder;
use crate::hear::Heard;
use crate::manifest::Manifest;
use crate::omni::Options;
use crate::prefill::Prefill;
use crate::speech::Speech;
use crate::text::Text;

/// How long a turn waits for the codec if no prompt is to be read: sinks and new questions are
/// looked at this often.
const PATIENCE: Duration = Duration::from_millis(20);

/// Pieces that a newcomer reads at once while nobody else waits.
const ALONE: usize = 16;

/// What an engine writes answers with.
#[derive(Clone, Copy)]
pub(crate) struct Tools<'a> {
    pub manifest: &'a Manifest,
    pub text: &'a Text,
    pub speech: &'a Speech,
}

/// All conversations from the prompt on.
pub(crate) struct Engine<'a> {
    tools: Tools<'a>,
    decoder: &'a mut Decoder,
    newcomers: VecDeque<Newcomer>,
    batch: Batch<'a>,
    /// Most prompt columns read between two steps.
    prefill_columns: usize,
}

/// A question heard, its prompt being read.
struct Newcomer {
    prefill: Prefill,
    options: Options,
    reply: Reply,
}

impl<'a> Engine<'a> {
    /// `partner`, an empty row, makes it step in pairs: see [`crate::batch`].
    pub fn new(
        tools: Tools<'a>,
        decoder: &'a mut Decoder,
        prefill_columns: usize,
        partner: Option<KvCache>,
    ) -> Engine<'a> {
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

    /// Takes a question in.
    pub fn admit(&mut self, heard: Heard, options: Options, reply: Reply) {
        match Prefill::new(self.decoder, heard) {
            Ok(prefill) => self.newcomers.push_back(Newcomer {
                prefill,
                options,
                reply,
            }),
            Err(error) => reply.end(Err(error)),
        }
    }

    /// Once around: a piece of one prompt, then a step of every answer, unless the codec is behind
    /// with all of them. An error ends the answers it concerns and no other.
    pub fn turn(&mut self) {
        self.drop_cancelled();
        self.read_a_piece();
        let patience = if self.newcomers.is_empty() {
            PATIENCE
        } else {
            Duration::ZERO
        };
        if self.batch.all_speak() && !self.tools.speech.wait_for_room(patience) {
            return;
        }
        if !self.batch.is_empty()
            && let Err(error) = self.batch.step(self.decoder)
        {
            self.batch.fail(&error);
            self.tools.speech.forget_cancelled();
        }
    }

    fn drop_cancelled(&mut self) {
        let before = self.batch.len();
        self.newcomers.retain(|one| !one.reply.is_cancelled());
        self.batch.drop_cancelled();
        if self.batch.len() < before {
            self.tools.speech.forget_cancelled();
        }
    }

    fn read_a_piece(&mut self) {
        let Some(mut newcomer) = self.newcomers.pop_front() else {
            return;
        };
        let nobody_waits = self.batch.is_empty() && self.newcomers.is_empty();
        let columns = if nobody_waits {
            self.prefill_columns.saturating_mul(ALONE)
        } else {
            self.prefill_columns
        };
        match newcomer.prefill.advance(self.decoder, columns) {
            Ok(true) => self.begin(newcomer),
            Ok(false) => self.newcomers.push_back(newcomer),
            Err(error) => newcomer.reply.end(Err(error)),
        }
    }

    fn begin(&mut self, newcomer: Newcomer) {
        let (heard, cache) = newcomer.prefill.finish();
        let Tools {
            manifest,
            text,
            speech,
        } = self.tools;
        let question = (&heard, &newcomer.options);
        let answer = Answer::new(manifest, text, speech, question, newcomer.reply);
        let most = heard.prompt.len() + heard.steps;
        self.batch
            .join(answer, Some(cache), &heard.prompt.marks, most);
    }
}
