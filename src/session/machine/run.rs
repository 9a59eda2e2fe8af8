//! A question on its way through the scheduler, known to the owner or not.

use std::ops::Range;
use std::time::Instant;

use super::told::Times;
use crate::ask::Question;
use crate::session::event::{AnswerId, TurnId};
use crate::session::settings::Reply;

/// Names what the scheduler was asked. Owners do not see it: answers that are discarded have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::session) struct RunId(pub u64);

/// What the scheduler is asked.
pub(super) struct Run {
    pub id: RunId,
    pub question: Question,
    pub reply: Reply,
    pub turn: Option<TurnId>,
    /// The span that is asked with, while it is not certain that the turn is over.
    pub held: Option<Range<u64>>,
    pub times: Times,
    /// What the owner knows it as.
    pub answer: Option<AnswerId>,
    /// Why nobody wants the rest.
    pub over: Option<Over>,
}

/// Why nobody wants the rest of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// It was prepared for a turn that went on.
    Discarded,
    /// The person spoke into it.
    Interrupted,
    /// It was cancelled by hand.
    Cancelled,
}

impl Run {
    pub fn new(id: RunId, question: Question, reply: Reply, requested: Instant) -> Run {
        Run {
            id,
            question,
            reply,
            turn: None,
            held: None,
            times: Times {
                requested,
                turn_end: None,
                speculative: false,
            },
            answer: None,
            over: None,
        }
    }

    /// Whether it is or may be an answer.
    pub fn is_wanted(&self) -> bool {
        self.over.is_none()
    }

    /// Whether it was prepared and may be an answer.
    pub fn is_held(&self) -> bool {
        self.is_wanted() && self.held.is_some()
    }

    /// Whether it is an answer.
    pub fn is_released(&self) -> bool {
        self.is_wanted() && self.held.is_none()
    }
}
