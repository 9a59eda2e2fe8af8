//! Answers: asked for, told as the scheduler says them, ended.

use std::time::Instant;

use super::run::{Over, Run, RunId};
use super::told::Told;
use super::{Machine, Order};
use crate::ask::{self, Question};
use crate::decoding::generation::Ended;
use crate::error::Result;
use crate::session::event::{AnswerEnd, AnswerId, Event};
use crate::session::settings::Reply;
use crate::trace::Trace;

impl Machine {
    pub fn event(&mut self, run: RunId, event: ask::Event) {
        let Some(mut run) = self.run.take_if(|own| own.id == run && own.is_released()) else {
            return;
        };
        match event {
            ask::Event::Text(text) => {
                let answer = self.tell(&mut run);
                if let Some(told) = &mut self.told {
                    told.write(&text);
                }
                self.events.push_back(Event::Text { answer, text });
            }
            ask::Event::Audio(samples) => {
                let answer = self.tell(&mut run);
                if let Some(told) = &mut self.told {
                    told.speak(samples.len());
                }
                self.events.push_back(Event::Audio { answer, samples });
            }
            ask::Event::NoSpeech => {}
        }
        self.run = Some(run);
    }

    /// An answer has ended; the one that the owner knows it as, if it is worth remembering.
    pub fn ended(&mut self, run: RunId, end: Result<Box<Trace>>, now: Instant) -> Option<AnswerId> {
        let mut run = self.run.take_if(|own| own.id == run)?;
        let answer = match (&end, run.over, run.answer) {
            (Ok(trace), Some(Over::Discarded), _) => {
                self.speculation.wasted_steps += trace.timings_ms.steps.len() as u64;
                None
            }
            (_, Some(_), answer) => answer,
            (_, None, _) if run.held.is_some() => {
                self.speculation.failed += 1;
                None
            }
            (Ok(trace), None, None) if trace.ended == Ended::NoSpeech => None,
            (Err(_), None, None) if run.times.speculative => {
                // What was prepared failed, perhaps because there was no room for it then.
                let mut again = self.new_run(run.question, run.reply, now);
                again.turn = run.turn;
                again.times.turn_end = run.times.turn_end;
                self.next.get_or_insert(again);
                None
            }
            (_, None, _) => Some(self.tell(&mut run)),
        };
        if let Some(answer) = answer {
            self.tell_end(answer, run.over, end);
        }
        self.tell_never();
        if let Some(next) = self.next.take() {
            self.ask_scheduler(next);
        }
        answer
    }

    pub(super) fn tell_end(
        &mut self,
        answer: AnswerId,
        over: Option<Over>,
        end: Result<Box<Trace>>,
    ) {
        if let Some(told) = self.told.as_mut().filter(|told| told.id == answer) {
            told.ended = true;
        }
        let end = match (end, over) {
            (Ok(trace), Some(Over::Interrupted)) => AnswerEnd::Interrupted(trace),
            (Ok(trace), Some(_)) => AnswerEnd::Cancelled(trace),
            (Ok(trace), None) => AnswerEnd::Done(trace),
            (Err(error), _) => AnswerEnd::Failed(error),
        };
        self.events.push_back(Event::AnswerEnded { answer, end });
    }
}

/// Answers begun and ended.
impl Machine {
    pub(super) fn new_run(&mut self, question: Question, reply: Reply, now: Instant) -> Run {
        self.runs += 1;
        Run::new(RunId(self.runs), question, reply, now)
    }

    /// Asks now, or once the answer before has ended.
    pub(super) fn ask_scheduler(&mut self, run: Run) {
        if self.run.is_some() {
            self.next = Some(run);
            return;
        }
        self.orders.push_back(Order::Ask {
            run: run.id,
            question: run.question.clone(),
            reply: run.reply.clone(),
            held: run.held.is_some(),
        });
        self.run = Some(run);
    }

    /// What the owner knows the answer as; it is told so the first time.
    pub(super) fn tell(&mut self, run: &mut Run) -> AnswerId {
        if let Some(answer) = run.answer {
            return answer;
        }
        self.answers += 1;
        let answer = AnswerId(self.answers);
        run.answer = Some(answer);
        let (spoken, rate) = (run.reply.spoken, self.rules.codec_rate);
        let turn = run.turn;
        let mut told = Told::new(answer, run.times, spoken, rate);
        told.turn = turn;
        self.told = Some(told);
        self.events.push_back(Event::AnswerStarted { answer, turn });
        answer
    }

    /// Ends the answer that is being written, and the sound of the one that is being played: it was
    /// heard up to here.
    pub(super) fn end_answer(&mut self, over: Over, now: Instant) {
        self.silence(now);
        self.go_on(now);
        self.stop_writing(over);
    }

    /// The player drops what it has not played.
    pub(super) fn silence(&mut self, now: Instant) {
        let Some(told) = self.told.as_mut() else {
            return;
        };
        if !told.is_under_way(now) {
            return;
        }
        let answer = told.id;
        let samples = told.playback.heard(now);
        let text = told.text(samples).to_string();
        told.playback.cut(samples);
        told.queued = 0;
        told.interrupted = true;
        self.holding = false;
        self.forget_events(answer);
        let event = Event::Interrupted {
            answer,
            samples,
            text,
        };
        self.events.push_back(event);
        self.cut(answer, samples);
    }

    /// What was not heard of a spoken answer is not remembered.
    pub(super) fn cut(&mut self, answer: AnswerId, samples: u64) {
        if self.told.as_ref().is_some_and(|told| told.spoken) {
            self.orders.push_back(Order::Cut { answer, samples });
        }
    }

    /// Ends the answer that is being written, and the one that waits. One that has not begun begins
    /// with that, so that each turn that is over has its answer.
    pub(super) fn stop_writing(&mut self, over: Over) {
        self.stop_run(over);
        self.stop_next(over);
    }

    pub(super) fn stop_run(&mut self, over: Over) {
        let Some(mut run) = self.run.take_if(|run| run.is_wanted()) else {
            return;
        };
        if run.held.is_none() && run.answer.is_none() {
            let answer = self.tell(&mut run);
            self.orders.push_back(Order::Cut { answer, samples: 0 });
            self.told
                .iter_mut()
                .for_each(|told| told.interrupted = true);
        }
        run.over = Some(over);
        self.orders.push_back(Order::Cancel(run.id));
        self.run = Some(run);
    }

    pub(super) fn stop_next(&mut self, over: Over) {
        let Some(mut run) = self.next.take_if(|run| run.held.is_none()) else {
            return;
        };
        run.over = Some(over);
        let known = run.answer.is_some();
        self.never.push(run);
        if known {
            self.tell_never();
        }
    }

    /// Tells the answers that never begin, one after another.
    pub(super) fn tell_never(&mut self) {
        for mut run in std::mem::take(&mut self.never) {
            let answer = self.tell(&mut run);
            let task = run.reply.options.task.name();
            let nothing = Box::new(Trace::new(task, 0, self.rules.streams));
            self.tell_end(answer, run.over, Ok(nothing));
        }
    }

    /// What was said of an answer and not yet taken is not taken any more.
    pub(super) fn forget_events(&mut self, of: AnswerId) {
        self.events.retain(|event| match event {
            Event::Text { answer, .. } | Event::Audio { answer, .. } => *answer != of,
            _ => true,
        });
    }
}
