//! What the person says: turns that become items, and what is written down of them.

use std::sync::Arc;

use mini_omni::session::TurnId;
use mini_omni::{Millis, Pcm};

use super::Dialogue;
use crate::serve::realtime::items::Item;
use crate::serve::realtime::server::{Duration, ErrorBody, ServerEvent};

use crate::serve::ids::id;

impl Dialogue {
    /// The person has begun to speak.
    pub fn speech_started(&mut self, turn: TurnId, at: Millis) {
        let item_id = id("item_");
        self.turns.insert(turn, item_id.clone());
        self.events.push(ServerEvent::SpeechStarted {
            audio_start_ms: at as u64,
            item_id,
        });
    }

    /// A turn ended by itself; the id of its item.
    pub fn speech_stopped(&mut self, turn: TurnId, at: Millis, question: Arc<Pcm>) -> String {
        let item_id = self.turn_item(turn);
        self.events.push(ServerEvent::SpeechStopped {
            audio_end_ms: at as u64,
            item_id: item_id.clone(),
        });
        self.commit(item_id, question)
    }

    /// A turn was ended by hand; the id of its item.
    pub fn committed(&mut self, turn: TurnId, question: Arc<Pcm>) -> String {
        let item_id = self.turn_item(turn);
        self.commit(item_id, question)
    }

    fn turn_item(&mut self, turn: TurnId) -> String {
        let begun = self.turns.remove(&turn);
        begun.unwrap_or_else(|| id("item_"))
    }

    fn commit(&mut self, item_id: String, question: Arc<Pcm>) -> String {
        self.events.push(ServerEvent::Committed {
            previous_item_id: self.items.last_id(),
            item_id: item_id.clone(),
        });
        let item = Item::spoken(item_id.clone(), question);
        let previous = self.items.push(item.clone());
        self.tell_item(previous, item);
        item_id
    }

    /// A whole item is in its place.
    pub(super) fn tell_item(&mut self, previous_item_id: Option<String>, item: Item) {
        self.events.push(ServerEvent::ItemAdded {
            previous_item_id: previous_item_id.clone(),
            item: item.clone(),
        });
        self.events.push(ServerEvent::ItemDone {
            previous_item_id,
            item,
        });
    }

    /// What was heard is forgotten.
    pub fn cleared(&mut self) {
        self.turns.clear();
        self.events.push(ServerEvent::Cleared {});
    }

    /// A question is being written down.
    pub fn transcript_delta(&mut self, item_id: &str, delta: String) {
        self.events.push(ServerEvent::TranscriptionDelta {
            item_id: item_id.to_string(),
            content_index: 0,
            delta,
        });
    }

    /// A question of so many seconds is written down.
    pub fn transcribed(&mut self, item_id: String, transcript: String, seconds: f64) {
        if let Some(item) = self.items.get_mut(&item_id) {
            item.set_transcript(transcript.clone());
        }
        self.events.push(ServerEvent::TranscriptionCompleted {
            item_id,
            content_index: 0,
            transcript,
            usage: Duration::new(seconds),
        });
    }

    /// A question could not be written down.
    pub fn transcription_failed(&mut self, item_id: String, error: ErrorBody) {
        self.events.push(ServerEvent::TranscriptionFailed {
            item_id,
            content_index: 0,
            error: error.into(),
        });
    }
}
