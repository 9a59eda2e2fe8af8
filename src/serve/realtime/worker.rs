//! The thread of one conversation: it owns the session and does nothing else.
//!
//! ```text
//! socket ─Input─▶ Worker ─▶ Session, Scheduler ─events─▶ Dialogue ─▶ Outgoing ─▶ socket
//! ```
//!
//! Voice activity and turn ends are computed here, so a socket is served, and its pings answered,
//! whatever the model does.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use axum::extract::ws::Utf8Bytes;
use mini_omni::session::{AnswerEnd, Event, Session, Settings};
use mini_omni::{Options, Pcm, Question, Request, Scheduler, Task};
use tokio::sync::OwnedSemaphorePermit;

use super::beside::{Beside, News};
use super::client::{ClientEvent, Received, Refusal, refusal};
use super::dialogue::{Dialogue, Key, Plan};
use super::ending::Ending;
use super::outgoing::Outgoing;
use super::response::{End, error_body};
use super::server::ErrorBody;
use super::sound;
use crate::serve::shared::{Model, Shared};

/// The session's clock moves at least so often.
const TICK: Duration = Duration::from_millis(50);
/// A question is written down only so long after it was asked, and while no answer is under way: an
/// answer goes first.
const TRANSCRIBE_AFTER: Duration = Duration::from_millis(300);
/// Questions that wait to be written down; more than these are not.
const MOST_TRANSCRIPTIONS: usize = 16;
/// Answers beside the conversation at once.
const MOST_BESIDE: usize = 2;

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

/// A question that is to be written down.
struct Transcription {
    item_id: String,
    sound: Arc<Pcm>,
}

/// A question that is being written down.
struct Transcribing {
    key: u64,
    _beside: Beside,
    item_id: String,
    seconds: f64,
    said: String,
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
    waiting: Option<Plan>,
    beside: BTreeMap<u64, Beside>,
    next_beside: u64,
    to_transcribe: VecDeque<Transcription>,
    transcribing: Option<Transcribing>,
    transcribe_from: Instant,
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
        settings.reply.options.window = shared.settings.window;
        let codec_rate = model.manifest.codec.sample_rate;
        let dialogue = Dialogue::new(shared.settings.model.clone(), settings, codec_rate);
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
            next_beside: 0,
            to_transcribe: VecDeque::new(),
            transcribing: None,
            transcribe_from: Instant::now(),
            ending: None,
        })
    }

    /// Runs until the conversation is to end; an answer under way ends first, if it is still heard.
    pub fn run(mut self, inputs: &Receiver<Input>) -> Ending {
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
                self.dialogue.refuse(None, refusal);
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

    fn message(&mut self, message: &str) {
        let received = Received::read(message);
        let done = received.event.and_then(|event| self.client(event));
        if let Err(refusal) = done {
            self.dialogue.refuse(received.event_id, refusal);
        }
    }

    fn client(&mut self, event: ClientEvent) -> Result<(), Refusal> {
        match event {
            ClientEvent::SessionUpdate { session } => self.update(session),
            ClientEvent::Append { audio } => self.append(&audio),
            ClientEvent::Commit {} => self.commit(),
            ClientEvent::Clear {} => {
                self.session.clear(Instant::now());
                self.dialogue.cleared();
                Ok(())
            }
            ClientEvent::ItemCreate {
                previous_item_id,
                item,
            } => {
                let (item_id, sound) = self
                    .dialogue
                    .create_item(item, previous_item_id.as_deref())?;
                if let Some(sound) = sound {
                    self.transcribe_later(item_id, sound);
                }
                Ok(())
            }
            ClientEvent::ItemRetrieve { item_id } => self.dialogue.retrieve_item(&item_id),
            ClientEvent::ItemDelete { item_id } => self.dialogue.delete_item(&item_id),
            ClientEvent::ItemTruncate {
                item_id,
                content_index,
                audio_end_ms,
            } => self.truncate(item_id, content_index, audio_end_ms),
            ClientEvent::ResponseCreate { response } => self.respond(response.unwrap_or_default()),
            ClientEvent::ResponseCancel { response_id } => self.cancel(response_id.as_deref()),
        }
    }

    fn update(&mut self, session: serde_json::Value) -> Result<(), Refusal> {
        let settings = self.dialogue.update(session)?;
        self.session.update(settings).map_err(refused)?;
        self.dialogue.updated();
        Ok(())
    }

    fn append(&mut self, audio: &str) -> Result<(), Refusal> {
        let format = self.dialogue.session().audio.input.format;
        let samples = sound::decode(audio, format)?;
        self.session.hear(&samples, Instant::now()).map_err(refused)
    }

    fn commit(&mut self) -> Result<(), Refusal> {
        let (turn, question) = self.session.commit(Instant::now()).ok_or_else(|| {
            refusal(
                "input_audio_buffer_commit_empty",
                "the input audio buffer is empty: nothing was appended since the last turn",
            )
        })?;
        let question = Arc::new(question);
        let item_id = self.dialogue.committed(turn, question.clone());
        self.transcribe_later(item_id, question);
        Ok(())
    }

    fn truncate(&mut self, item_id: String, index: u32, audio_end_ms: f64) -> Result<(), Refusal> {
        let cut = self.dialogue.cut(&item_id, audio_end_ms)?;
        let heard = self
            .session
            .truncate(cut.answer, cut.samples, Instant::now());
        self.dialogue.truncated((item_id, index), &cut, heard);
        Ok(())
    }

    fn respond(&mut self, params: super::client::ResponseParams) -> Result<(), Refusal> {
        let plan = self.dialogue.plan(params)?;
        if plan.outline.conversation_id.is_none() {
            self.ask_beside(plan);
            return Ok(());
        }
        if !self.dialogue.is_answering() {
            self.ask(plan);
            return Ok(());
        }
        if self.dialogue.is_cutting() && self.waiting.is_none() {
            self.waiting = Some(plan);
            return Ok(());
        }
        Err(refusal(
            "conversation_already_has_active_response",
            "an answer is under way: wait for its end, or cancel it",
        ))
    }

    fn ask(&mut self, plan: Plan) {
        let Some(question) = plan.question else {
            self.dialogue.failed(plan.outline, no_question());
            return;
        };
        let answer = self.session.ask(question, &plan.reply, Instant::now());
        self.dialogue.started(Key::Session(answer), plan.outline);
    }

    /// Asks what is no part of the conversation.
    fn ask_beside(&mut self, plan: Plan) {
        let Some(question) = plan.question else {
            self.dialogue.failed(plan.outline, no_question());
            return;
        };
        if self.beside.len() >= MOST_BESIDE {
            let sentence = format!("{MOST_BESIDE} answers beside the conversation are under way");
            self.dialogue
                .failed(plan.outline, ErrorBody::server("busy", sentence));
            return;
        }
        let options = plan.reply.options_for(&question);
        match self.beside(Request::new(question, options)) {
            Ok((key, beside)) => {
                self.beside.insert(key, beside);
                self.dialogue.started(Key::Beside(key), plan.outline);
            }
            Err(error) => self.dialogue.failed(plan.outline, error_body(&error)),
        }
    }

    fn beside(&mut self, request: Request) -> mini_omni::Result<(u64, Beside)> {
        let key = self.next_beside;
        self.next_beside += 1;
        let inputs = self.inputs.clone();
        let tell = move |news| {
            let _ = inputs.send(Input::Beside(key, news));
        };
        Ok((key, Beside::ask(&self.scheduler, request, tell)?))
    }

    fn cancel(&mut self, response_id: Option<&str>) -> Result<(), Refusal> {
        match self.dialogue.cancel(response_id)? {
            Key::Session(answer) => self.session.cancel(answer, Instant::now()),
            Key::Beside(key) => {
                if let Some(beside) = self.beside.get(&key) {
                    beside.cancel();
                }
            }
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
    fn count(&self, end: &AnswerEnd) {
        let metrics = &self.shared.metrics;
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
                let item_id = dialogue.speech_stopped(turn, at, question.clone());
                self.transcribe_later(item_id, question);
            }
            Event::AnswerStarted { answer, .. } => dialogue.answer_started(answer),
            Event::Text { answer, text } => dialogue.text(Key::Session(answer), text),
            Event::Audio { answer, samples } => dialogue.audio(Key::Session(answer), &samples),
            Event::Interrupted { answer, text, .. } => dialogue.interrupted(answer, text),
            Event::AnswerEnded { answer, end } => {
                self.count(&end);
                let end = match end {
                    AnswerEnd::Done(trace) => End::Done(trace.into()),
                    AnswerEnd::Interrupted(trace) | AnswerEnd::Cancelled(trace) => {
                        End::Cut(trace.into())
                    }
                    AnswerEnd::Failed(error) => End::Failed(error_body(&error)),
                    _ => return,
                };
                self.dialogue.ended(Key::Session(answer), end);
            }
            // A client lowers its own sound, and measures its own delays.
            _ => {}
        }
    }

    /// What a question beside the conversation has to tell.
    fn news(&mut self, key: u64, news: News) {
        if self.transcribing.as_ref().is_some_and(|t| t.key == key) {
            self.transcript(news);
            return;
        }
        match news {
            News::Event(mini_omni::Event::Text(text)) => self.dialogue.text(Key::Beside(key), text),
            News::Event(mini_omni::Event::Audio(samples)) => {
                self.dialogue.audio(Key::Beside(key), &samples);
            }
            News::Event(_) => {}
            News::End(end) => {
                self.beside.remove(&key);
                let end = match end {
                    Ok(trace) if trace.ended == mini_omni::Ended::Cancelled => {
                        End::Cut(trace.into())
                    }
                    Ok(trace) => End::Done(trace.into()),
                    Err(error) => End::Failed(error_body(&error)),
                };
                self.dialogue.ended(Key::Beside(key), end);
            }
        }
    }

    /// What waited and can go on now.
    fn advance(&mut self) {
        if !self.dialogue.is_answering()
            && let Some(plan) = self.waiting.take()
        {
            self.ask(plan);
        }
        let free = !self.dialogue.is_answering() && self.transcribing.is_none();
        if free && Instant::now() >= self.transcribe_from {
            self.transcribe();
        }
    }

    /// Puts a question among those to be written down, if the session wants that.
    fn transcribe_later(&mut self, item_id: String, sound: Arc<Pcm>) {
        if self.dialogue.session().audio.input.transcription.is_none() {
            return;
        }
        if self.to_transcribe.len() == MOST_TRANSCRIPTIONS {
            let sentence = "too many questions wait to be written down";
            self.dialogue
                .transcription_failed(item_id, ErrorBody::server("busy", sentence));
            return;
        }
        self.to_transcribe
            .push_back(Transcription { item_id, sound });
        self.transcribe_from = Instant::now() + TRANSCRIBE_AFTER;
    }

    /// Writes the next question down.
    fn transcribe(&mut self) {
        let Some(Transcription { item_id, sound }) = self.to_transcribe.pop_front() else {
            return;
        };
        let seconds = sound.seconds();
        let question = Question::Audio(Pcm::clone(&sound));
        match self.beside(Request::new(question, Options::for_task(Task::A1T1))) {
            Ok((key, beside)) => {
                self.transcribing = Some(Transcribing {
                    key,
                    _beside: beside,
                    item_id,
                    seconds,
                    said: String::new(),
                });
            }
            Err(error) => self
                .dialogue
                .transcription_failed(item_id, error_body(&error)),
        }
    }

    /// A piece of what a question says, or its end.
    fn transcript(&mut self, news: News) {
        let Some(transcribing) = &mut self.transcribing else {
            return;
        };
        match news {
            News::Event(mini_omni::Event::Text(text)) => {
                transcribing.said.push_str(&text);
                self.dialogue.transcript_delta(&transcribing.item_id, text);
            }
            News::Event(_) => {}
            News::End(end) => {
                let Some(done) = self.transcribing.take() else {
                    return;
                };
                match end {
                    Ok(_) => self
                        .dialogue
                        .transcribed(done.item_id, done.said, done.seconds),
                    Err(error) => self
                        .dialogue
                        .transcription_failed(done.item_id, error_body(&error)),
                }
            }
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

/// An error of the library about what a client sent.
fn refused(error: mini_omni::Error) -> Refusal {
    Box::new(error_body(&error))
}

fn no_question() -> ErrorBody {
    ErrorBody::invalid(
        "no_question",
        "there is no question to answer: Mini-Omni answers the last message of the user",
    )
}
