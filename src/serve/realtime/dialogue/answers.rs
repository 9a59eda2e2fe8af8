//! Answers under way, from their beginning to their end.

use mini_omni::session::AnswerId;

use super::{Dialogue, Key, Spoken};
use crate::serve::realtime::client::{Refusal, refusal};
use crate::serve::realtime::items::Item;
use crate::serve::realtime::response::{End, Outline, Response};
use crate::serve::realtime::server::{ErrorBody, Reason, ServerEvent, Status};

/// Answers that can still be truncated.
const MOST_ANSWERS: usize = 64;

impl Dialogue {
    /// Whether an answer of the conversation is under way.
    pub fn is_answering(&self) -> bool {
        self.responses.values().any(Response::in_conversation)
    }

    /// Whether it is about to end early.
    pub fn is_cutting(&self) -> bool {
        let mut own = self.responses.values().filter(|r| r.in_conversation());
        own.all(|response| response.cut.is_some())
    }

    /// An answer begins that was planned.
    pub fn started(&mut self, key: Key, outline: Outline) {
        let response = Response::new(outline, self.codec_rate);
        self.events.push(response.created());
        self.responses.insert(key, response);
    }

    /// An answer begins; one behind a turn was not planned.
    pub fn answer_started(&mut self, answer: AnswerId) {
        let key = Key::Session(answer);
        if !self.responses.contains_key(&key) {
            let outline = self.outline(true);
            self.started(key, outline);
        }
    }

    /// An answer could not begin.
    pub fn failed(&mut self, outline: Outline, error: ErrorBody) {
        let response = Response::new(outline, self.codec_rate);
        self.events.push(response.created());
        self.events.push(response.done(&End::Failed(error)));
    }

    /// An answer's next characters.
    pub fn text(&mut self, key: Key, text: String) {
        self.announce(key);
        if let Some(response) = self.responses.get_mut(&key) {
            self.events.push(response.text(text));
        }
    }

    /// An answer's next samples, at the codec's rate.
    pub fn audio(&mut self, key: Key, samples: &[f32]) {
        self.announce(key);
        if let Some(response) = self.responses.get_mut(&key) {
            self.events.extend(response.audio(samples));
        }
    }

    /// Announces an answer's item, if it was not.
    fn announce(&mut self, key: Key) {
        let Some(response) = self.responses.get_mut(&key) else {
            return;
        };
        if !response.begins() {
            return;
        }
        let [output_item, part] = response.announced();
        self.events.push(output_item);
        let item = response.item(Status::InProgress);
        if let (Some(item), true) = (item, response.in_conversation()) {
            let previous_item_id = self.items.push(item.clone());
            self.events.push(ServerEvent::ItemAdded {
                previous_item_id,
                item,
            });
        }
        self.events.push(part);
    }

    /// The person spoke into an answer, which was heard up to here.
    pub fn interrupted(&mut self, answer: AnswerId, heard: String) {
        if let Some(response) = self.responses.get_mut(&Key::Session(answer)) {
            response.cut = Some(Reason::TurnDetected);
            response.heard = Some(heard);
        } else if let Some(spoken) = self.spoken.iter().find(|spoken| spoken.answer == answer)
            && let Some(item) = self.items.get_mut(&spoken.item_id)
        {
            item.set_transcript(heard);
        }
    }

    /// Which answer a client wants to end; it is to be told that it was.
    pub fn cancel(&mut self, response_id: Option<&str>) -> Result<Key, Refusal> {
        let wanted = |response: &Response| match response_id {
            Some(id) => response.id() == id,
            None => response.in_conversation(),
        };
        let found = self.responses.iter_mut().find(|(_, r)| wanted(r));
        let (key, response) = found.ok_or_else(|| {
            refusal(
                "response_cancel_not_active",
                "Cancellation failed: no such answer is under way",
            )
        })?;
        response.cut.get_or_insert(Reason::ClientCancelled);
        Ok(*key)
    }

    /// Nothing follows of an answer.
    pub fn ended(&mut self, key: Key, end: End) {
        let Some(mut response) = self.responses.remove(&key) else {
            return;
        };
        let status = Response::item_status(response.outcome(&end).0);
        self.events.extend(response.closed(status));
        if let Some(item) = response.item(status).filter(|_| response.in_conversation()) {
            self.close_item(item, response.heard.take());
        }
        if let Key::Session(answer) = key {
            self.remember(answer, &response);
        }
        self.events.push(response.done(&end));
    }

    /// An answer's item is whole; of it was `heard` so much, if it was interrupted or truncated.
    fn close_item(&mut self, item: Item, heard: Option<String>) {
        let previous_item_id = self.items.before(&item.id);
        // A client may have taken it out meanwhile.
        let Some(kept) = self.items.get_mut(&item.id) else {
            return;
        };
        *kept = item.clone();
        if let Some(heard) = heard {
            kept.set_transcript(heard);
        }
        self.events.push(ServerEvent::ItemDone {
            previous_item_id,
            item,
        });
    }

    fn remember(&mut self, answer: AnswerId, response: &Response) {
        if response.samples == 0 {
            return;
        }
        self.spoken.push_back(Spoken {
            item_id: response.item_id().to_string(),
            answer,
            samples: response.samples,
        });
        if self.spoken.len() > MOST_ANSWERS {
            self.spoken.pop_front();
        }
    }
}
