//! A conversation: sound is pushed in as it comes, and speech that ends is answered.
//!
//! ```text
//! pcm ─Resampler─▶ 16 kHz ─Listener─▶ Heard ─Machine─▶ orders ─Scheduler─▶ answers ─▶ Event
//! ```
//!
//! [`Session`] joins the parts. The `machine` decides, and is pure: it has no thread, clock or graph,
//! so that tests drive it with scripts. `past` keeps what is remembered, `playback` how much of an
//! answer was played, `echo` its sound for the ears.

mod echo;
mod event;
mod inbox;
mod latency;
mod machine;
mod past;
mod playback;
mod settings;

pub use event::{AnswerEnd, AnswerId, Event, Latency, TurnId};
pub use latency::{LatencySummary, Percentiles, Speculation};
pub use settings::{Reply, Settings, TurnEnd};

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::ask::{Millis, Question};
use crate::audio::Pcm;
use crate::audio::Resampler;
use crate::engine::{Answer, Memory};
use crate::error::{Error, Result};
use crate::graph::Runtime;
use crate::hearing::{Heard, Listener, SAMPLE_RATE};
use crate::model::manifest::Manifest;
use crate::scheduler::{Request, Scheduler};
use crate::trace::Trace;
use echo::Echo;
use inbox::{Inbox, Said};
use machine::{Machine, Moment, Order, Rules, RunId};
use past::Past;

/// Pieces that sound is heard in, so that it is the same conversation whatever sizes it comes in.
const PIECES_PER_SECOND: u32 = 50;

/// One conversation. Its owner pushes sound and takes events; nothing here waits, except that
/// [`Session::hear`] runs the voice activity graph (0.3 ms for each 32 ms of sound). Whether a sentence
/// sounds complete is judged on another thread. Dropping it cancels the answer under way.
///
/// A turn that is longer than the model hears (30 s) is ended there and answered; what follows is the
/// next turn. One that is ended by hand is not: asking it is refused as
/// [`ErrorKind::TooLong`](crate::ErrorKind::TooLong).
pub struct Session {
    scheduler: Arc<Scheduler>,
    settings: Settings,
    resampler: Resampler,
    listener: Listener,
    machine: Machine,
    past: Past,
    echo: Echo,
    inbox: Inbox,
    /// Why no sentence can be judged any more; the next call to hear says so.
    failed: Option<Error>,
    /// The pause behind which an answer is begun, where it is not that of the settings.
    begins: Option<Millis>,
    /// What the scheduler was asked and has not ended.
    asked: Option<(RunId, Answer)>,
    /// Where the turn under way began.
    turn_start: Option<u64>,
    /// What comes before belongs to an earlier turn.
    since: u64,
    /// Samples of the longest question at 16 kHz.
    longest: u64,
}

impl Session {
    /// A conversation that is answered by `scheduler`. `wake` is called when there is something new
    /// to [`Session::poll`]: from other threads, or within a call of the session. It must not wait,
    /// nor call the session.
    pub fn new(
        scheduler: Arc<Scheduler>,
        runtime: &Runtime,
        settings: Settings,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Result<Session> {
        let manifest = scheduler.manifest();
        let inbox = Inbox::new(wake);
        let mut listener = Listener::new(runtime, settings.listener_rules(None))?;
        listener.on_judged(inbox.wake());
        Ok(Session {
            resampler: Resampler::new(settings.input_rate, SAMPLE_RATE)?,
            listener,
            machine: Machine::new(rules(&settings, &scheduler)),
            past: Past::new(manifest, settings.turns),
            echo: Echo::new(manifest.codec.sample_rate)?,
            inbox,
            failed: None,
            begins: None,
            asked: None,
            turn_start: None,
            since: 0,
            longest: longest(manifest),
            settings,
            scheduler,
        })
    }

    /// Changes how the conversation goes on; a turn under way keeps what was heard of it.
    pub fn update(&mut self, settings: Settings) -> Result<()> {
        if settings.input_rate != self.settings.input_rate {
            self.resampler = Resampler::new(settings.input_rate, SAMPLE_RATE)?;
        }
        self.begins = None;
        self.listener.set_rules(settings.listener_rules(None))?;
        self.machine.set_rules(rules(&settings, &self.scheduler));
        self.past.set_turns(settings.turns);
        self.settings = settings;
        Ok(())
    }

    /// Takes sound of [`Settings::input_rate`] in, in pieces of any size. `now` is when its last
    /// sample was spoken.
    pub fn hear(&mut self, samples: &[f32], now: Instant) -> Result<()> {
        let rate = self.settings.input_rate;
        let mut rest = samples.len();
        for piece in samples.chunks((rate / PIECES_PER_SECOND).max(1) as usize) {
            rest -= piece.len();
            let before = Duration::from_secs_f64(rest as f64 / f64::from(rate.max(1)));
            self.hear_piece(piece, now.checked_sub(before).unwrap_or(now))?;
        }
        Ok(())
    }

    fn hear_piece(&mut self, piece: &[f32], now: Instant) -> Result<()> {
        self.take_in(now);
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let samples = self.resampler.push(piece);
        let playing = self.machine.playing(now);
        let playing = playing.and_then(|at| self.echo.played(at, samples.len()));
        for heard in self.listener.hear(&samples, playing.as_deref())? {
            self.decide(heard, now);
        }
        self.end_long_turn(now);
        Ok(())
    }

    fn decide(&mut self, heard: Heard, now: Instant) {
        match &heard {
            Heard::Start { at, .. } | Heard::Interruption { at, .. } => self.turn_start = Some(*at),
            Heard::End { speech, .. } => {
                self.turn_start = None;
                self.since = speech.end.min(self.listener.position());
            }
            _ => {}
        }
        let listener = &self.listener;
        let moment = Moment {
            now,
            position: listener.position(),
            sound: &|span| listener.sound(span),
        };
        self.machine.heard(heard, &moment);
        self.obey(now);
    }

    /// Ends a turn that has become as long as the model hears.
    fn end_long_turn(&mut self, now: Instant) {
        let end = self.turn_start.map(|start| start..start + self.longest);
        let position = self.listener.position();
        if let Some(speech) = end.filter(|speech| speech.end <= position) {
            let silent_since = position;
            self.decide(
                Heard::End {
                    speech,
                    silent_since,
                },
                now,
            );
            self.listener.restart();
        }
    }

    /// Tells that the player has played `samples` of `answer`'s sound in all, at the codec's rate.
    /// Once a player tells, what it tells alone counts as heard. Without it the session takes sound to
    /// be played in real time from when it was handed over.
    pub fn played(&mut self, answer: AnswerId, samples: u64, now: Instant) {
        self.machine.played(answer, samples, now);
    }

    /// Ends the turn by hand: what was heard since the last turn (or `clear`) becomes a question, or
    /// the speech under way where there is some. It is not answered by itself. `None` if nothing was
    /// heard.
    pub fn commit(&mut self, now: Instant) -> Option<(TurnId, Pcm)> {
        let position = self.listener.position();
        let span = self.turn_start.unwrap_or(self.since)..position;
        let question = Pcm::new(self.listener.sound(span), SAMPLE_RATE).ok()?;
        let turn = self.machine.commit();
        self.start_anew(now);
        Some((turn, question))
    }

    /// Forgets what was heard since the last turn.
    pub fn clear(&mut self, now: Instant) {
        self.machine.clear();
        self.start_anew(now);
    }

    fn start_anew(&mut self, now: Instant) {
        self.listener.restart();
        self.turn_start = None;
        self.since = self.listener.position();
        self.obey(now);
    }

    /// Asks a question by hand; an answer under way is cancelled first.
    pub fn ask(&mut self, question: Question, reply: &Reply, now: Instant) -> AnswerId {
        self.take_in(now);
        let answer = self.machine.ask(question, reply.clone(), now);
        self.obey(now);
        answer
    }

    /// Ends an answer early. Its [`Event::AnswerEnded`] follows; what was not taken of it is dropped.
    pub fn cancel(&mut self, answer: AnswerId, now: Instant) {
        self.machine.cancel(answer);
        self.obey(now);
    }

    /// Cuts what the conversation remembers of `answer` to its first `samples`, as they were heard.
    /// More than there are change nothing. The text that was heard: the same share of its characters,
    /// in whole words; `None` where it is not the last answer.
    pub fn truncate(&mut self, answer: AnswerId, samples: u64, now: Instant) -> Option<String> {
        let text = self.machine.truncate(answer, samples);
        self.obey(now);
        text
    }

    /// The next event, if there is one. `now` moves the session's clock; the sound of an event goes to
    /// the player then.
    pub fn poll(&mut self, now: Instant) -> Option<Event> {
        self.take_in(now);
        let event = self.machine.next_event(now)?;
        match &event {
            Event::Audio { answer, samples } => self.echo.hand_over(*answer, samples),
            Event::Latency(latency) => self.begin_in_time(latency),
            _ => {}
        }
        Some(event)
    }

    /// Whether no turn is under way, no answer is being written, and all has been told. An answer may
    /// still be played.
    pub fn is_idle(&self) -> bool {
        self.machine.is_idle()
    }

    /// Whether a turn is over whose answer was not told yet. There may be none, if nothing was said.
    pub fn is_to_answer(&self) -> bool {
        self.machine.is_to_answer()
    }

    /// How often an answer was prepared before its turn was certain, and what became of it.
    pub fn speculation(&self) -> Speculation {
        self.machine.speculation()
    }

    /// Positions of the model that the conversation's memory takes.
    pub fn remembered(&self) -> usize {
        self.past.position()
    }

    /// What other threads have said since: those that write answers, and the one that judges sentences.
    fn take_in(&mut self, now: Instant) {
        match self.listener.judged() {
            Ok(heard) => heard.into_iter().for_each(|heard| self.decide(heard, now)),
            Err(error) => self.failed = Some(error),
        }
        while let Some((run, said)) = self.inbox.next() {
            match said {
                Said::Event(event) => self.machine.event(run, event),
                Said::End(end) => self.ended(run, end, now),
            }
        }
    }

    fn ended(&mut self, run: RunId, end: Result<(Trace, Option<Memory>)>, now: Instant) {
        self.asked.take_if(|(asked, _)| *asked == run);
        let (end, memory) = match end {
            Ok((trace, memory)) => (Ok(Box::new(trace)), memory),
            Err(error) => (Err(error), None),
        };
        let trace = end
            .as_ref()
            .ok()
            .map(|trace| (trace.ended, trace.prompt_length));
        let answer = self.machine.ended(run, end, now);
        if let (Some(answer), Some(of), Some(memory)) = (answer, trace, memory) {
            self.past.remember(answer, of, memory);
        }
        self.obey(now);
    }

    /// The next answer is begun in time, if the last one was not.
    fn begin_in_time(&mut self, last: &Latency) {
        self.begins = self.settings.speculates(self.begins, last);
        let rules = self.settings.listener_rules(self.begins);
        if let Err(error) = self.listener.set_rules(rules) {
            self.failed = Some(error);
        }
    }

    /// Does what the machine has decided.
    fn obey(&mut self, now: Instant) {
        while let Some(order) = self.machine.next_order() {
            match order {
                Order::Ask {
                    run,
                    question,
                    reply,
                    held,
                } => {
                    if let Err(error) = self.submit(run, question, &reply, held, now) {
                        self.machine.ended(run, Err(error), now);
                    }
                }
                Order::Release(run) => {
                    self.answer(run).inspect(|answer| answer.release());
                }
                Order::Cancel(run) => {
                    self.answer(run).inspect(|answer| answer.cancel());
                }
                Order::Cut { answer, samples } => self.past.cut(answer, samples),
                Order::Forget(answer) => self.past.forget(answer),
            }
        }
    }

    fn answer(&self, run: RunId) -> Option<&Answer> {
        let asked = self.asked.as_ref().filter(|(asked, _)| *asked == run);
        asked.map(|(_, answer)| answer)
    }

    fn submit(
        &mut self,
        run: RunId,
        question: Question,
        reply: &Reply,
        held: bool,
        now: Instant,
    ) -> Result<()> {
        let options = reply.options_for(&question);
        let memory = self.past.before(&question, &options);
        let mut request = Request::new(question, options);
        request.start = now;
        request.memory = memory;
        request.keep_memory = self.past.is_kept();
        request.held = held;
        let (events, ends) = (self.inbox.entrance(run), self.inbox.entrance(run));
        let request = request
            .sink(move |event| events(Said::Event(event)))
            .at_end(move |end| {
                let _ = ends(Said::End(end)); // the last thing said; nobody may listen any more
            });
        self.asked = Some((run, self.scheduler.submit(request)?));
        Ok(())
    }
}

fn rules(settings: &Settings, scheduler: &Scheduler) -> Rules {
    let manifest = scheduler.manifest();
    Rules {
        answer: settings.answer,
        interrupt: settings.interrupt,
        reply: settings.reply.clone(),
        codec_rate: manifest.codec.sample_rate,
        streams: manifest.ids.streams(),
        longest: longest(manifest),
    }
}

/// Samples of the longest question at 16 kHz.
fn longest(manifest: &Manifest) -> u64 {
    manifest.mel.max_seconds as u64 * u64::from(SAMPLE_RATE)
}
