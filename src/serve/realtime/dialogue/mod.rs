//! What a conversation is to a client: items, answers under way, and the events that tell of them.
//!
//! Pure: the `worker` asks the session and the scheduler, and says here what came of it;
//! what the client is to hear gathers in [`Dialogue::take`].

mod answers;
mod edits;
mod plan;
#[cfg(test)]
mod tests;
mod turns;

use std::collections::{BTreeMap, HashMap, VecDeque};

use mini_omni::session::{AnswerId, Settings, TurnId};
use serde_json::{Map, Value};

use super::client::Refusal;
use super::config::SessionObject;
use super::items::Items;
use super::response::Response;
use super::server::{ErrorBody, ServerEvent};
use crate::serve::ids::id;
use crate::serve::shape::clipped;

pub use plan::Plan;

/// Which answer: one of the session's, or one beside it, which is no part of the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    Session(AnswerId),
    Beside(u64),
}

/// A spoken answer that a client may truncate.
#[derive(Debug)]
struct Spoken {
    item_id: String,
    answer: AnswerId,
    samples: u64,
}

/// Where an answer is to be cut.
#[derive(Debug, PartialEq, Eq)]
pub struct Cut {
    pub answer: AnswerId,
    pub samples: u64,
    pub audio_end_ms: u64,
}

/// The state.
pub struct Dialogue {
    session: SessionObject,
    base: Settings,
    /// Hz of the answers' sound.
    codec_rate: u32,
    conversation_id: String,
    items: Items,
    /// Items of turns that have begun.
    turns: HashMap<TurnId, String>,
    responses: BTreeMap<Key, Response>,
    spoken: VecDeque<Spoken>,
    events: Vec<ServerEvent>,
}

impl Dialogue {
    /// A conversation that begins; `base`: what the server's owner chose.
    pub fn new(model: String, base: Settings, codec_rate: u32) -> Dialogue {
        let session = SessionObject::new(id("sess_"), model);
        let created = ServerEvent::SessionCreated {
            session: session.clone(),
        };
        Dialogue {
            session,
            base,
            codec_rate,
            conversation_id: id("conv_"),
            items: Items::default(),
            turns: HashMap::new(),
            responses: BTreeMap::new(),
            spoken: VecDeque::new(),
            events: vec![created],
        }
    }

    /// What the client is to hear since the last call.
    pub fn take(&mut self) -> Vec<ServerEvent> {
        std::mem::take(&mut self.events)
    }

    /// The session as it is.
    pub fn session(&self) -> &SessionObject {
        &self.session
    }

    /// The same in the library's words.
    pub fn settings(&self) -> Settings {
        self.session.settings(&self.base)
    }

    /// An event of the client has no effect.
    pub fn refuse(&mut self, event_id: Option<String>, refusal: ErrorBody) {
        let error = ErrorBody {
            event_id,
            ..refusal
        };
        self.events.push(ServerEvent::Error { error });
    }

    /// The session with some of its fields changed; what the library is to be told.
    pub fn update(&mut self, update: Map<String, Value>) -> Result<Settings, Refusal> {
        self.session = self.session.updated(update)?;
        Ok(self.settings())
    }

    /// The update holds.
    pub fn updated(&mut self) {
        let session = self.session.clone();
        self.events.push(ServerEvent::SessionUpdated { session });
    }
}

fn unknown_item(code: &'static str, id: &str) -> Refusal {
    let sentence = format!("there is no such item: \"{}\"", clipped(id));
    Box::new(ErrorBody::invalid(code, sentence).param("item_id"))
}
