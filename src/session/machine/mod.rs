//! What a conversation decides, without a thread, a clock or a graph.
//!
//! What is heard, what the scheduler's answers say and what is asked by hand go in, each with its
//! time; events for the owner and orders for the scheduler come out. One answer at a time is being
//! written: a question waits until the answer before it has ended, which it does at the next step.
//! So its memory is there, and its place at the scheduler is free.

mod answers;
mod by_hand;
mod heard;
mod run;
mod told;

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Instant;

use crate::ask::Question;
use crate::session::event::{AnswerId, Event, TurnId};
use crate::session::latency::Speculation;
use crate::session::settings::Reply;
use run::Run;
pub(super) use run::RunId;
use told::Told;

/// What the settings and the model say to it.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    /// Whether a turn is answered by itself.
    pub answer: bool,
    /// Whether speech ends an answer that it is spoken into.
    pub interrupt: bool,
    /// How turns are answered.
    pub reply: Reply,
    /// Hz of an answer's sound.
    pub codec_rate: u32,
    /// Streams of ids of an answer.
    pub streams: usize,
    /// Samples of the longest question, at 16 kHz.
    pub longest: u64,
}

/// What the scheduler, or what the conversation remembers, is to do.
#[derive(Debug)]
pub(super) enum Order {
    /// Ask this.
    Ask {
        run: RunId,
        question: Question,
        reply: Reply,
        held: bool,
    },
    /// Hand over what was held back.
    Release(RunId),
    /// End it early.
    Cancel(RunId),
    /// Forget what follows these samples of the answer.
    Cut { answer: AnswerId, samples: u64 },
    /// Forget the answer and its question.
    Forget(AnswerId),
}

/// When something was heard, and where its sound is.
pub(super) struct Moment<'a> {
    pub now: Instant,
    /// Samples heard by then, at 16 kHz.
    pub position: u64,
    /// The sound of a span.
    pub sound: &'a dyn Fn(Range<u64>) -> Vec<f32>,
}

/// A turn under way.
#[derive(Debug, Clone, Copy)]
struct Speech {
    turn: TurnId,
    /// Where its question begins, if it goes on with the turn before.
    from: Option<u64>,
}

/// The state of a conversation.
pub(super) struct Machine {
    rules: Rules,
    turns: u64,
    answers: u64,
    runs: u64,
    /// The turn under way.
    speech: Option<Speech>,
    /// What the scheduler was asked and has not ended.
    run: Option<Run>,
    /// What it is asked next.
    next: Option<Run>,
    /// What it is not asked any more. Each is told once the answer before it has ended.
    never: Vec<Run>,
    /// The last answer that the owner knows of.
    told: Option<Told>,
    /// Whether the player was told to stand still.
    holding: bool,
    events: VecDeque<Event>,
    orders: VecDeque<Order>,
    speculation: Speculation,
}

impl Machine {
    pub fn new(rules: Rules) -> Machine {
        Machine {
            rules,
            turns: 0,
            answers: 0,
            runs: 0,
            speech: None,
            run: None,
            next: None,
            never: Vec::new(),
            told: None,
            holding: false,
            events: VecDeque::new(),
            orders: VecDeque::new(),
            speculation: Speculation::default(),
        }
    }

    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// How often an answer was prepared before its turn was certain, and what became of it.
    pub fn speculation(&self) -> Speculation {
        self.speculation
    }

    /// Whether nobody speaks, nothing is asked and all has been told.
    pub fn is_idle(&self) -> bool {
        let asked = self.run.is_some() || self.next.is_some() || !self.never.is_empty();
        self.speech.is_none() && !asked && self.events.is_empty()
    }

    /// Whether an answer to a turn is on its way that the owner does not know of.
    pub fn is_to_answer(&self) -> bool {
        let untold = |run: &Run| run.is_released() && run.answer.is_none();
        self.run.iter().chain(&self.next).any(untold)
    }

    pub fn next_order(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    /// The next event. Sound counts as handed over with it.
    pub fn next_event(&mut self, now: Instant) -> Option<Event> {
        let event = self.events.pop_front()?;
        if let (Event::Audio { answer, samples }, Some(told)) = (&event, &mut self.told)
            && told.id == *answer
            && let Some(latency) = told.hand_over(samples.len(), now)
        {
            self.events.push_front(Event::Latency(latency));
        }
        Some(event)
    }

    /// The answer whose sound is being played, and the sample that the player is at.
    pub fn playing(&mut self, now: Instant) -> Option<(AnswerId, u64)> {
        let told = self.told.as_mut()?;
        Some((told.id, told.playback.position(now)?))
    }

    /// Whether an answer is being written or played.
    fn is_engaged(&mut self, now: Instant) -> bool {
        let wanted = |run: &Option<Run>| run.as_ref().is_some_and(Run::is_wanted);
        let under_way = |told: &mut Told| told.is_under_way(now);
        wanted(&self.run) || wanted(&self.next) || self.told.as_mut().is_some_and(under_way)
    }
}

#[cfg(test)]
mod tests;
