//! The thread of one conversation: it owns the session and does nothing else.
//!
//! ```text
//! socket ─Input─▶ Worker ─▶ Session, Scheduler ─events─▶ Dialogue ─▶ Outgoing ─▶ socket
//! ```
//!
//! Voice activity and turn ends are computed here, so a socket is served, and its pings answered,
//! whatever the model does.

mod asides;
mod events;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use axum::extract::ws::Utf8Bytes;
use mini_omni::Scheduler;
use mini_omni::session::{AnswerEnd, Event, Session, Settings};
use tokio::sync::OwnedSemaphorePermit;

use super::beside::{Beside, News};
use super::client::refusal;
use super::dialogue::{Dialogue, Key, Plan};
use super::ending::Ending;
use super::outgoing::Outgoing;
use super::response::{End, error_body};
use super::server::Reason;
use crate::serve::log::Conversation;
use crate::serve::player::Player;
use crate::serve::shared::{Model, Shared};
use asides::{Transcribing, Transcription};

/// The session's clock moves at least so often.
const TICK: Duration = Duration::from_millis(50);

/// What comes to a worker.
pub enum Input {
    /// A message of the client, and its place among those that wait.
    Message(Utf8Bytes, OwnedSemaphorePermit),
    /// A message that is no text.
    Binary,
    /// The session has something new.
    Wake,
    /// So has a question beside it.
    Beside(u64, News),
    /// The conversation is to end.
    End(Ending),
}

/// A question that waits for the end of the answer before it.
struct Waiting {
    plan: Plan,
    /// Whether it was cancelled meanwhile.
    cancelled: bool,
}

/// One conversation.
pub struct Worker {
    shared: Arc<Shared>,
    /// Hz of the answers' sound.
    codec_rate: u32,
    /// Prepared answers that were discarded, as far as they were counted.
    discarded: u64,
    scheduler: Arc<Scheduler>,
    session: Session,
    dialogue: Dialogue,
    outgoing: Outgoing,
    inputs: Sender<Input>,
    /// Whether a wake is under way.
    woken: Arc<AtomicBool>,
    /// Asked while the answer before it was being cancelled.
    waiting: Option<Waiting>,
    beside: BTreeMap<u64, Beside>,
    /// Of the answers under way: players as clients without a buffer have them.
    players: HashMap<Key, Player>,
    next_beside: u64,
    to_transcribe: VecDeque<Transcription>,
    transcribing: Option<Transcribing>,
    transcribe_from: Instant,
    /// What the log says of it at its end.
    told: Conversation,
    /// Why the conversation ends, once it is to.
    ending: Option<Ending>,
}

impl Worker {
    /// A conversation that begins. Fails if a graph cannot be opened.
    pub fn new(
        (shared, model): (&Arc<Shared>, &Model),
        inputs: Sender<Input>,
        outgoing: Outgoing,
    ) -> mini_omni::Result<Worker> {
        let mut settings = Settings::default();
        settings.turns = shared.settings.turns;
        settings.reply.options.window = Some(shared.settings.window);
        let codec_rate = model.manifest.codec.sample_rate;
        let dialogue = Dialogue::new(shared.settings.model.clone(), settings, codec_rate);
        let session_id = dialogue.session().id.clone();
        let woken = Arc::new(AtomicBool::new(false));
        let wake = wake(inputs.clone(), woken.clone());
        let scheduler = model.scheduler.clone();
        let session = Session::new(scheduler.clone(), &model.runtime, dialogue.settings(), wake)?;
        Ok(Worker {
            shared: shared.clone(),
            codec_rate,
            discarded: 0,
            scheduler,
            session,
            dialogue,
            outgoing,
            inputs,
            woken,
            waiting: None,
            beside: BTreeMap::new(),
            players: HashMap::new(),
            told: Conversation::new(session_id),
            next_beside: 0,
            to_transcribe: VecDeque::new(),
            transcribing: None,
            transcribe_from: Instant::now(),
            ending: None,
        })
    }

    /// Runs until the conversation is to end; an answer under way ends first, if it is still heard.
    pub fn run(mut self, inputs: &Receiver<Input>) -> Ending {
        let ending = self.talk(inputs);
        if self.dialogue.is_answering() {
            self.shared.metrics.cancelled();
        }
        self.told.ended(ending.reason(), self.shared.settings.log);
        ending
    }

    fn talk(&mut self, inputs: &Receiver<Input>) -> Ending {
        loop {
            self.listen();
            self.advance();
            if let Err(ending) = self.send() {
                return ending;
            }
            match self
                .ending
                .take_if(|ending| !ending.waits() || !self.dialogue.is_answering())
            {
                Some(ending) => return ending,
                None => self.wait(inputs),
            }
        }
    }

    /// Waits for something to happen.
    fn wait(&mut self, inputs: &Receiver<Input>) {
        match inputs.recv_timeout(TICK) {
            Ok(Input::Message(message, _place)) => self.message(&message),
            Ok(Input::Binary) => {
                let refusal = refusal("invalid_json", "an event is a text message");
                self.dialogue.refuse(None, *refusal);
            }
            Ok(Input::Wake) => self.woken.store(false, Ordering::Release),
            Ok(Input::Beside(key, news)) => self.news(key, news),
            Ok(Input::End(ending)) => self.ending = Some(ending),
            // The worker itself keeps a sender.
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
    }

    /// Sends what the client is to hear.
    fn send(&mut self) -> Result<(), Ending> {
        for event in self.dialogue.take() {
            self.outgoing.send(&event)?;
        }
        Ok(())
    }

    /// Takes what the session has to tell.
    fn listen(&mut self) {
        while let Some(event) = self.session.poll(Instant::now()) {
            self.heard(event);
        }
        let discarded = self.session.speculation().discarded;
        for _ in self.discarded..discarded {
            self.shared.metrics.discarded_speculation();
        }
        self.discarded = discarded;
    }

    /// Counts an answer that ended.
    fn count(&mut self, end: &AnswerEnd) {
        let metrics = &self.shared.metrics;
        self.told.answers += 1;
        match end {
            AnswerEnd::Done(trace) => metrics.answered(trace, self.codec_rate),
            AnswerEnd::Failed(_) => metrics.failed(),
            _ => metrics.cancelled(),
        }
    }

    fn heard(&mut self, event: Event) {
        let dialogue = &mut self.dialogue;
        match event {
            Event::SpeechStarted { turn, at } => dialogue.speech_started(turn, at),
            Event::SpeechStopped { turn, at, question } => {
                let question = Arc::new(question);
                self.told.turns += 1;
                let item_id = dialogue.speech_stopped(turn, at, question.clone());
                self.transcribe_later(item_id, question);
            }
            Event::AnswerStarted { answer, .. } => dialogue.answer_started(answer),
            Event::Text { answer, text } => dialogue.text(Key::Session(answer), text),
            Event::Audio { answer, samples } => self.audio(Key::Session(answer), &samples),
            Event::Interrupted { answer, text, .. } => dialogue.interrupted(answer, text),
            Event::AnswerEnded { answer, end } => {
                self.count(&end);
                self.players.remove(&Key::Session(answer));
                let end = match end {
                    AnswerEnd::Done(trace) => End::Done(trace.into()),
                    AnswerEnd::Interrupted(trace) => End::Cut(trace.into(), Reason::TurnDetected),
                    AnswerEnd::Cancelled(trace) => End::Cut(trace.into(), Reason::ClientCancelled),
                    AnswerEnd::Failed(error) => End::Failed(error_body(&error)),
                    _ => return,
                };
                self.dialogue.ended(Key::Session(answer), end);
            }
            // A client lowers its own sound, and measures its own delays.
            _ => {}
        }
    }

    /// An answer's next samples go to the client.
    fn audio(&mut self, key: Key, samples: &[f32]) {
        let player = self.players.entry(key);
        let player = player.or_insert_with(|| Player::new(self.codec_rate));
        if player.runs_dry(samples.len(), Instant::now()) {
            self.shared.metrics.underrun();
        }
        self.dialogue.audio(key, samples);
    }

    /// Whether an answer of the conversation is under way, or a turn's will be told soon.
    fn is_answering(&self) -> bool {
        self.dialogue.is_answering() || self.session.is_to_answer()
    }

    /// What waited and can go on now.
    fn advance(&mut self) {
        if !self.is_answering()
            && let Some(waiting) = self.waiting.take()
        {
            self.ask(waiting.plan);
            if waiting.cancelled {
                // A plan without a question has failed already.
                let _ = self.cancel(None);
            }
        }
        let free = !self.is_answering() && self.transcribing.is_none();
        if free && Instant::now() >= self.transcribe_from {
            self.transcribe();
        }
    }
}

/// What the session calls when it has something new; one call at a time is under way.
fn wake(inputs: Sender<Input>, woken: Arc<AtomicBool>) -> impl Fn() + Send + Sync {
    move || {
        if !woken.swap(true, Ordering::AcqRel) {
            let _ = inputs.send(Input::Wake);
        }
    }
}
