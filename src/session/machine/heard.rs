//! What was heard: turns begin, pause and end, somebody speaks into an answer.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::run::{Over, Run};
use super::{Machine, Moment, Order, Speech};
use crate::ask::Question;
use crate::audio::Pcm;
use crate::hearing::{Heard, SAMPLE_RATE};
use crate::session::event::{Event, TurnId};

impl Machine {
    pub fn heard(&mut self, heard: Heard, moment: &Moment) {
        match heard {
            Heard::Start { at, from } | Heard::Interruption { at, from } => {
                self.begin(at, from, moment.now);
            }
            Heard::Pause { speech } => self.pause(speech, moment),
            Heard::Resume => self.discard(),
            Heard::End {
                speech,
                silent_since,
            } => self.end(speech, silent_since, moment),
            Heard::Overlap => self.hold(moment.now),
            Heard::OverlapOver => self.go_on(moment.now),
        }
    }

    /// A turn begins at `at`. Its question begins at `from`, earlier where it goes on with the turn
    /// before, whose answer makes room then.
    pub(super) fn begin(&mut self, at: u64, from: u64, now: Instant) {
        self.discard();
        let goes_on = self.rules.interrupt && from < at;
        if self.rules.interrupt {
            self.end_answer(Over::Interrupted, now);
        }
        if goes_on {
            self.forget();
        }
        let turn = self.new_turn();
        let from = goes_on.then_some(from);
        self.speech = Some(Speech { turn, from });
        let at = ms(at);
        self.events.push_back(Event::SpeechStarted { turn, at });
    }

    /// The last turn is asked again, with more: the model forgets that it was.
    fn forget(&mut self) {
        let last = Some(TurnId(self.turns));
        if let Some(told) = self.told.as_ref().filter(|told| told.turn == last) {
            self.orders.push_back(Order::Forget(told.id));
        }
    }

    /// The sound that is asked where `speech` is what was said in the turn that is `under_way`.
    fn asked(&self, under_way: Speech, speech: &Range<u64>, moment: &Moment) -> Option<Question> {
        let fits = |from: &u64| speech.end.saturating_sub(*from) <= self.rules.longest;
        let start = under_way.from.filter(fits).unwrap_or(speech.start);
        pcm(&(start..speech.end), moment).map(Question::Audio)
    }

    pub(super) fn new_turn(&mut self) -> TurnId {
        self.turns += 1;
        TurnId(self.turns)
    }

    /// The turn may be over: its answer is prepared, unheard.
    pub(super) fn pause(&mut self, speech: Range<u64>, moment: &Moment) {
        let (Some(under_way), true) = (self.speech, self.rules.answer) else {
            return;
        };
        if self.is_engaged(moment.now) {
            return;
        }
        let Some(question) = self.asked(under_way, &speech, moment) else {
            return;
        };
        self.speculation.begun += 1;
        let mut run = self.new_run(question, self.rules.reply.clone(), moment.now);
        run.turn = Some(under_way.turn);
        run.held = Some(speech);
        run.times.speculative = true;
        self.ask_scheduler(run);
    }

    /// The answer that was prepared is to the wrong question.
    pub(super) fn discard(&mut self) {
        if self.next.take_if(|run| run.held.is_some()).is_some() {
            self.speculation.discarded += 1;
        }
        if let Some(run) = self.run.as_mut().filter(|run| run.is_held()) {
            run.over = Some(Over::Discarded);
            self.speculation.discarded += 1;
            self.orders.push_back(Order::Cancel(run.id));
        }
    }

    pub(super) fn end(&mut self, speech: Range<u64>, silent_since: u64, moment: &Moment) {
        let Some(under_way) = self.speech.take() else {
            return;
        };
        let turn = under_way.turn;
        // What was prepared stands: only silence has followed it.
        let prepared = self.prepared().and_then(|run| run.held.clone());
        let speech = prepared.clone().unwrap_or(speech);
        let said = pcm(&speech, moment);
        let (Some(question), Some(asked)) = (said, self.asked(under_way, &speech, moment)) else {
            return;
        };
        self.events.push_back(Event::SpeechStopped {
            turn,
            at: ms(speech.end),
            question,
        });
        if !self.rules.answer {
            return self.discard();
        }
        let silent = moment.position.saturating_sub(silent_since);
        let silent = Duration::from_secs_f64(silent as f64 / f64::from(SAMPLE_RATE));
        let voice_end = moment.now.checked_sub(silent).unwrap_or(moment.now);
        let turn_end = Some((moment.now, voice_end));
        match prepared {
            Some(_) => self.release(turn_end),
            None => {
                self.end_answer(Over::Interrupted, moment.now);
                let reply = self.rules.reply.clone();
                let mut run = self.new_run(asked, reply, moment.now);
                run.turn = Some(turn);
                run.times.turn_end = turn_end;
                self.ask_scheduler(run);
            }
        }
    }

    /// The answer that was prepared and still stands.
    pub(super) fn prepared(&mut self) -> Option<&mut Run> {
        let held = |run: &&mut Run| run.is_held();
        let next = self.next.as_mut().filter(held);
        next.or(self.run.as_mut().filter(held))
    }

    /// The turn is over: what was prepared for it may be heard.
    pub(super) fn release(&mut self, turn_end: Option<(Instant, Instant)>) {
        let Some(run) = self.prepared() else { return };
        run.held = None;
        run.times.turn_end = turn_end;
        let id = run.id;
        self.speculation.used += 1;
        if self.run.as_ref().is_some_and(|run| run.id == id) {
            self.orders.push_back(Order::Release(id));
        }
    }

    /// Somebody may be speaking into the answer.
    pub(super) fn hold(&mut self, now: Instant) {
        let Some(told) = self.told.as_mut().filter(|_| self.rules.interrupt) else {
            return;
        };
        if told.is_sounding(now) && !self.holding {
            told.playback.hold(now);
            self.holding = true;
            self.events.push_back(Event::Hold);
        }
    }

    /// Nobody was.
    pub(super) fn go_on(&mut self, now: Instant) {
        if std::mem::take(&mut self.holding) {
            self.events.push_back(Event::Resume);
            if let Some(told) = &mut self.told {
                told.playback.go_on(now);
            }
        }
    }
}

/// Samples at 16 kHz in milliseconds.
fn ms(samples: u64) -> f64 {
    samples as f64 * 1000.0 / f64::from(SAMPLE_RATE)
}

/// The sound of a span; `None` where there is none.
fn pcm(span: &Range<u64>, moment: &Moment) -> Option<Pcm> {
    Pcm::new((moment.sound)(span.clone()), SAMPLE_RATE).ok()
}
