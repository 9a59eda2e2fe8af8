//! What a conversation decides, without a thread, a clock or a graph.
//!
//! What is heard, what the scheduler's answers say and what is asked by hand go in, each with its
//! time; events for the owner and orders for the scheduler come out. One answer at a time is being
//! written: a question waits until the answer before it has ended, which it does at the next step.
//! So its memory is there, and its place at the scheduler is free.

mod run;
mod told;

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::ask::{self, Question};
use crate::audio::Pcm;
use crate::decoding::generation::Ended;
use crate::error::Result;
use crate::hearing::{Heard, SAMPLE_RATE};
use crate::session::event::{AnswerEnd, AnswerId, Event, TurnId};
use crate::session::latency::Speculation;
use crate::session::settings::Reply;
use crate::trace::Trace;
pub(super) use run::RunId;
use run::{Over, Run};
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
}

/// When something was heard, and where its sound is.
pub(super) struct Moment<'a> {
    pub now: Instant,
    /// Samples heard by then, at 16 kHz.
    pub position: u64,
    /// The sound of a span.
    pub sound: &'a dyn Fn(Range<u64>) -> Vec<f32>,
}

/// The state of a conversation.
pub(super) struct Machine {
    rules: Rules,
    turns: u64,
    answers: u64,
    runs: u64,
    /// The turn under way.
    speech: Option<TurnId>,
    /// What the scheduler was asked and has not ended.
    run: Option<Run>,
    /// What it is asked next.
    next: Option<Run>,
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

/// What was heard.
impl Machine {
    pub fn heard(&mut self, heard: Heard, moment: &Moment) {
        match heard {
            Heard::Start { at } | Heard::Interruption { at } => self.begin(at, moment.now),
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

    fn begin(&mut self, at: u64, now: Instant) {
        self.discard();
        if self.rules.interrupt {
            self.end_answer(Over::Interrupted, now);
        }
        let turn = self.new_turn();
        self.speech = Some(turn);
        let at = ms(at);
        self.events.push_back(Event::SpeechStarted { turn, at });
    }

    fn new_turn(&mut self) -> TurnId {
        self.turns += 1;
        TurnId(self.turns)
    }

    /// The turn may be over: its answer is prepared, unheard.
    fn pause(&mut self, speech: Range<u64>, moment: &Moment) {
        let (Some(turn), true) = (self.speech, self.rules.answer) else {
            return;
        };
        if self.is_engaged(moment.now) {
            return;
        }
        let Some(question) = question(&speech, moment) else {
            return;
        };
        self.speculation.begun += 1;
        let mut run = self.new_run(question, self.rules.reply.clone(), moment.now);
        run.turn = Some(turn);
        run.held = Some(speech);
        run.times.speculative = true;
        self.ask_scheduler(run);
    }

    /// The answer that was prepared is to the wrong question.
    fn discard(&mut self) {
        if self.next.take_if(|run| run.held.is_some()).is_some() {
            self.speculation.discarded += 1;
        }
        if let Some(run) = self.run.as_mut().filter(|run| run.is_held()) {
            run.over = Some(Over::Discarded);
            self.speculation.discarded += 1;
            self.orders.push_back(Order::Cancel(run.id));
        }
    }

    fn end(&mut self, speech: Range<u64>, silent_since: u64, moment: &Moment) {
        let Some(turn) = self.speech.take() else {
            return;
        };
        // What was prepared stands: only silence has followed it.
        let prepared = self.prepared().and_then(|run| run.held.clone());
        let speech = prepared.clone().unwrap_or(speech);
        let Some(pcm) = pcm(&speech, moment) else {
            return;
        };
        self.events.push_back(Event::SpeechStopped {
            turn,
            at: ms(speech.end),
            question: pcm.clone(),
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
                let mut run = self.new_run(Question::Audio(pcm), reply, moment.now);
                run.turn = Some(turn);
                run.times.turn_end = turn_end;
                self.ask_scheduler(run);
            }
        }
    }

    /// The answer that was prepared and still stands.
    fn prepared(&mut self) -> Option<&mut Run> {
        let held = |run: &&mut Run| run.is_held();
        let next = self.next.as_mut().filter(held);
        next.or(self.run.as_mut().filter(held))
    }

    /// The turn is over: what was prepared for it may be heard.
    fn release(&mut self, turn_end: Option<(Instant, Instant)>) {
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
    fn hold(&mut self, now: Instant) {
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
    fn go_on(&mut self, now: Instant) {
        if std::mem::take(&mut self.holding) {
            self.events.push_back(Event::Resume);
            if let Some(told) = &mut self.told {
                told.playback.go_on(now);
            }
        }
    }
}

/// What the owner does by hand.
impl Machine {
    /// The turn under way, or a new one, is over: its name. It is not answered by itself.
    pub fn commit(&mut self) -> TurnId {
        self.discard();
        self.speech.take().unwrap_or_else(|| self.new_turn())
    }

    /// The turn under way is forgotten.
    pub fn clear(&mut self) {
        self.discard();
        self.speech = None;
    }

    pub fn ask(&mut self, question: Question, reply: Reply, now: Instant) -> AnswerId {
        self.discard();
        self.end_answer(Over::Cancelled, now);
        let mut run = self.new_run(question, reply, now);
        let answer = self.tell(&mut run);
        self.ask_scheduler(run);
        answer
    }

    pub fn cancel(&mut self, answer: AnswerId) {
        let of = |run: &Run| run.answer == Some(answer);
        if self.next.as_ref().is_some_and(of) || self.run.as_ref().is_some_and(of) {
            self.stop_writing(Over::Cancelled);
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

/// What the scheduler's answers say.
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
    pub fn ended(
        &mut self,
        run: RunId,
        end: Result<Box<Trace>>,
        now: Instant,
    ) -> Option<AnswerId> {
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
        if let Some(next) = self.next.take() {
            self.ask_scheduler(next);
        }
        answer
    }

    fn tell_end(&mut self, answer: AnswerId, over: Option<Over>, end: Result<Box<Trace>>) {
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
    fn new_run(&mut self, question: Question, reply: Reply, now: Instant) -> Run {
        self.runs += 1;
        Run::new(RunId(self.runs), question, reply, now)
    }

    /// Asks now, or once the answer before has ended.
    fn ask_scheduler(&mut self, run: Run) {
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
    fn tell(&mut self, run: &mut Run) -> AnswerId {
        if let Some(answer) = run.answer {
            return answer;
        }
        self.answers += 1;
        let answer = AnswerId(self.answers);
        run.answer = Some(answer);
        let (spoken, rate) = (run.reply.spoken, self.rules.codec_rate);
        self.told = Some(Told::new(answer, run.times, spoken, rate));
        let turn = run.turn;
        self.events.push_back(Event::AnswerStarted { answer, turn });
        answer
    }

    /// Ends the answer that is being written, and the sound of the one that is being played: it was
    /// heard up to here.
    fn end_answer(&mut self, over: Over, now: Instant) {
        self.silence(now);
        self.go_on(now);
        self.stop_writing(over);
    }

    /// The player drops what it has not played.
    fn silence(&mut self, now: Instant) {
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
    fn cut(&mut self, answer: AnswerId, samples: u64) {
        if self.told.as_ref().is_some_and(|told| told.spoken) {
            self.orders.push_back(Order::Cut { answer, samples });
        }
    }

    /// Ends the answer that is being written or waits.
    fn stop_writing(&mut self, over: Over) {
        if let Some(run) = self.run.as_mut().filter(|run| run.over.is_none()) {
            run.over = Some(over);
            self.orders.push_back(Order::Cancel(run.id));
        }
        if let Some(Run { answer: Some(answer), reply, .. }) = self.next.take() {
            let task = reply.options.task.name();
            let never_begun = Box::new(Trace::new(task, 0, self.rules.streams));
            self.tell_end(answer, Some(over), Ok(never_begun));
        }
    }

    /// What was said of an answer and not yet taken is not taken any more.
    fn forget_events(&mut self, of: AnswerId) {
        self.events.retain(|event| match event {
            Event::Text { answer, .. } | Event::Audio { answer, .. } => *answer != of,
            _ => true,
        });
    }
}

/// Samples at 16 kHz in milliseconds.
fn ms(samples: u64) -> f64 {
    samples as f64 * 1000.0 / f64::from(SAMPLE_RATE)
}

fn question(span: &Range<u64>, moment: &Moment) -> Option<Question> {
    pcm(span, moment).map(Question::Audio)
}

/// The sound of a span; `None` where there is none.
fn pcm(span: &Range<u64>, moment: &Moment) -> Option<Pcm> {
    Pcm::new((moment.sound)(span.clone()), SAMPLE_RATE).ok()
}

#[cfg(test)]
mod tests;
