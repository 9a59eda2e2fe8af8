//! What a client's events do.

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value};

use super::{Waiting, Worker};
use crate::serve::realtime::client::{ClientEvent, Received, Refusal, ResponseParams, refusal};
use crate::serve::realtime::dialogue::{Key, Plan};
use crate::serve::realtime::response::error_body;
use crate::serve::realtime::server::ErrorBody;
use crate::serve::realtime::sound;

impl Worker {
    /// Reads a message and does what it says, or refuses it.
    pub(super) fn message(&mut self, message: &str) {
        let received = Received::read(message);
        let done = received.event.and_then(|event| self.client(event));
        if let Err(refusal) = done {
            self.dialogue.refuse(received.event_id, *refusal);
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
            } => self.truncate(item_id, content_index.unwrap_or(0), audio_end_ms),
            ClientEvent::ResponseCreate { response } => self.respond(response.unwrap_or_default()),
            ClientEvent::ResponseCancel { response_id } => self.cancel(response_id.as_deref()),
        }
    }

    fn update(&mut self, session: Map<String, Value>) -> Result<(), Refusal> {
        let settings = self.dialogue.update(session)?;
        self.session.update(settings).map_err(refused)?;
        self.dialogue.updated();
        Ok(())
    }

    fn append(&mut self, audio: &str) -> Result<(), Refusal> {
        let format = self.dialogue.session().audio.input.format;
        let samples =
            sound::decode(audio, format).map_err(|refusal| Box::new(refusal.param("audio")))?;
        self.session.hear(&samples, Instant::now()).map_err(refused)
    }

    fn commit(&mut self) -> Result<(), Refusal> {
        let (turn, question) = self.session.commit(Instant::now()).ok_or_else(|| {
            refusal(
                "input_audio_buffer_commit_empty",
                "the input audio buffer is empty: nothing was appended since the last turn",
            )
        })?;
        self.told.turns += 1;
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

    fn respond(&mut self, params: ResponseParams) -> Result<(), Refusal> {
        let plan = self.dialogue.plan(params)?;
        if plan.outline.conversation_id.is_none() {
            self.ask_beside(plan);
            return Ok(());
        }
        if !self.is_answering() {
            self.ask(plan);
            return Ok(());
        }
        let ending = self.dialogue.is_answering() && self.dialogue.is_cutting();
        if ending && self.waiting.is_none() {
            let cancelled = false;
            self.waiting = Some(Waiting { plan, cancelled });
            return Ok(());
        }
        Err(refusal(
            "conversation_already_has_active_response",
            "an answer is under way: wait for its end, or cancel it",
        ))
    }

    pub(super) fn ask(&mut self, plan: Plan) {
        let Some(question) = plan.question else {
            self.dialogue.failed(plan.outline, no_question());
            return;
        };
        let answer = self.session.ask(question, &plan.reply, Instant::now());
        self.dialogue.started(Key::Session(answer), plan.outline);
    }

    pub(super) fn cancel(&mut self, response_id: Option<&str>) -> Result<(), Refusal> {
        if let (Some(waiting), None) = (&mut self.waiting, response_id) {
            waiting.cancelled = true;
            return Ok(());
        }
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
}

/// An error of the library about what a client sent.
fn refused(error: mini_omni::Error) -> Refusal {
    Box::new(error_body(&error))
}

pub(super) fn no_question() -> ErrorBody {
    ErrorBody::invalid(
        "no_question",
        "there is no question to answer: Mini-Omni answers the last message of the user",
    )
}
