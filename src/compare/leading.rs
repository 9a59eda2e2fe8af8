//! The reference of a comparison, whose ids the candidate follows: a model, or what one was recorded
//! to say.

use super::drift::Look;
use super::pass::Pass;
use super::recording::Recorded;
use super::side::Said;
use crate::decoding::generation::Step;
use crate::error::Result;
use crate::model::manifest::SpecialIds;

/// Goes through its answer step by step.
pub(super) enum Leading<'a> {
    Model(Box<Pass<'a>>, SpecialIds),
    /// With the step that comes next.
    Recording(&'a Recorded, usize),
}

impl Leading<'_> {
    /// What it says at the next step; `None` once the answer has ended.
    pub fn look(&mut self) -> Result<Option<Look<'_>>> {
        match self {
            Leading::Model(pass, ids) => {
                let logits = pass.look()?;
                Ok(logits.map(|logits| Look::at(logits, ids)))
            }
            Leading::Recording(recorded, step) => Ok(recorded.look(*step)),
        }
    }

    /// Goes on.
    pub fn take(&mut self, chosen: &Step) {
        match self {
            Leading::Model(pass, _) => pass.take(chosen),
            Leading::Recording(_, step) => *step += 1,
        }
    }

    /// What it said, once the answer has ended.
    pub fn finish(self) -> Result<Said> {
        match self {
            Leading::Model(pass, _) => Ok(Said::of(&pass.finish()?)),
            Leading::Recording(recorded, _) => Ok(recorded.said.clone()),
        }
    }
}
