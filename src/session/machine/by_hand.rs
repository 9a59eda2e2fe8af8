//! What the owner does by hand.

use std::time::Instant;

use super::Machine;
use super::run::{Over, Run};
use crate::ask::Question;
use crate::session::event::{AnswerId, TurnId};
use crate::session::settings::Reply;

impl Machine {
    /// The turn under way, or a new one, is over: its name. It is not answered by itself.
    pub fn commit(&mut self) -> TurnId {
        self.discard();
        let turn = self.speech.take().map(|speech| speech.turn);
        turn.unwrap_or_else(|| self.new_turn())
    }

    /// The turn under way is forgotten.
    pub fn clear(&mut self) {
        self.discard();
        self.speech = None;
    }

    pub fn ask(&mut self, question: Question, reply: Reply, now: Instant) -> AnswerId {
        self.discard();
        self.end_answer(Over::Cancelled, now);
        self.tell_never();
        let mut run = self.new_run(question, reply, now);
        let answer = self.tell(&mut run);
        self.ask_scheduler(run);
        answer
    }

    pub fn cancel(&mut self, answer: AnswerId) {
        let of = |run: &Run| run.answer == Some(answer);
        if self.next.as_ref().is_some_and(of) {
            self.stop_next(Over::Cancelled);
        } else if self.run.as_ref().is_some_and(of) {
            self.stop_run(Over::Cancelled);
        }
        let Some(told) = self.told.as_mut().filter(|told| told.id == answer) else {
            return;
        };
        if !told.ended {
            told.queued = 0;
            let samples = told.playback.handed();
            self.cut(answer, samples);
            self.forget_events(answer);
        }
    }

    pub fn played(&mut self, answer: AnswerId, samples: u64, now: Instant) {
        if let Some(told) = self.told.as_mut().filter(|told| told.id == answer) {
            told.playback.report(samples, now);
        }
    }

    pub fn truncate(&mut self, answer: AnswerId, samples: u64) -> Option<String> {
        let told = self.told.as_mut().filter(|told| told.id == answer)?;
        let samples = samples.min(told.playback.handed());
        told.playback.cut(samples);
        let text = told.text(samples).to_string();
        self.cut(answer, samples);
        Some(text)
    }
}
