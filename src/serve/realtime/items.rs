//! The conversation's items: what was said, in order, as the client sees it.
//!
//! The list is for the client; the model's own memory is the session's. It is bounded, since a
//! conversation may last for days: the oldest items go, and the oldest sounds before them.

use std::collections::VecDeque;
use std::sync::Arc;

use mini_omni::Pcm;
use serde::Serialize;
use serde_json::{Map, Value};

use super::client::{NewContent, NewItem, Refusal, refusal};
use super::config::Format;
use super::server::Status;
use super::sound;
use crate::serve::shape::clipped;

/// Items that are kept.
const MOST_ITEMS: usize = 512;
/// Questions whose sound is kept.
const MOST_SOUNDS: usize = 4;
/// Seconds of sound that a client may put into an item: twice what a model hears.
const LONGEST: f64 = 60.0;
/// Bytes of an item without its sound, as JSON.
const LARGEST: usize = 64 << 10;

/// An item, as it is told.
#[derive(Debug, Clone, Serialize)]
pub struct Item {
    pub id: String,
    pub object: &'static str,
    #[serde(flatten)]
    pub body: Body,
    /// The question's sound.
    #[serde(skip)]
    pub sound: Option<Arc<Pcm>>,
}

/// A message, or something that Mini-Omni knows nothing of.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Body {
    Message(Message),
    Other(Map<String, Value>),
}

/// What somebody said.
#[derive(Debug, Clone, Serialize)]
pub struct Message {
    #[serde(rename = "type")]
    kind: &'static str,
    pub status: Status,
    pub role: Role,
    pub content: Vec<Content>,
}

/// Who said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    User,
    Assistant,
    System,
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Content {
    InputText {
        text: String,
    },
    InputAudio {
        transcript: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        audio: Option<String>,
    },
    OutputText {
        text: String,
    },
    OutputAudio {
        transcript: Option<String>,
    },
}

impl Item {
    /// A message.
    pub fn message(id: String, role: Role, status: Status, content: Vec<Content>) -> Item {
        Item {
            id,
            object: "realtime.item",
            body: Body::Message(Message {
                kind: "message",
                status,
                role,
                content,
            }),
            sound: None,
        }
    }

    /// A spoken question.
    pub fn spoken(id: String, sound: Arc<Pcm>) -> Item {
        let content = Content::InputAudio {
            transcript: None,
            audio: None,
        };
        let mut item = Item::message(id, Role::User, Status::Completed, vec![content]);
        item.sound = Some(sound);
        item
    }

    /// An item that a client made; `id`: for one that it gave none.
    pub fn of_client(new: NewItem, id: String, format: Format) -> Result<Item, Refusal> {
        let id = new.id.clone().unwrap_or(id);
        let item = match &*new.kind {
            "message" => Item::message_of_client(new, id, format)?,
            _ => Item::other_of_client(new, id),
        };
        let length = serde_json::to_string(&item).map_or(0, |json| json.len());
        if length > LARGEST {
            let sentence = format!("an item has at most {LARGEST} bytes beside its sound");
            return Err(refusal("item_too_large", sentence));
        }
        Ok(item)
    }

    /// What Mini-Omni knows nothing of, such as the call of a tool, is kept as it is.
    fn other_of_client(new: NewItem, id: String) -> Item {
        let mut fields = new.rest;
        fields.remove("object");
        fields.insert("type".into(), new.kind.into());
        Item {
            id,
            object: "realtime.item",
            body: Body::Other(fields),
            sound: None,
        }
    }

    fn message_of_client(new: NewItem, id: String, format: Format) -> Result<Item, Refusal> {
        let role = role(new.role.as_deref())?;
        let parts = new.content.unwrap_or_default();
        let sound = sound_of(&parts, format)?.map(Arc::new);
        let content = parts.into_iter().map(|part| content(role, part));
        let content = content.collect::<Result<_, _>>()?;
        let mut item = Item::message(id, role, Status::Completed, content);
        item.sound = sound;
        Ok(item)
    }

    /// The message, if it is one.
    pub fn as_message(&self) -> Option<&Message> {
        match &self.body {
            Body::Message(message) => Some(message),
            Body::Other(_) => None,
        }
    }

    fn is_question(&self) -> bool {
        self.as_message()
            .is_some_and(|message| message.role == Role::User)
    }

    /// Its words, if they are written.
    pub fn text(&self) -> String {
        let parts = self
            .as_message()
            .map_or(&[][..], |message| &message.content);
        let texts = parts.iter().filter_map(|part| match part {
            Content::InputText { text } => Some(text.as_str()),
            _ => None,
        });
        texts.collect::<Vec<_>>().join("\n")
    }

    /// Writes down what is said in it.
    pub fn set_transcript(&mut self, said: String) {
        let Body::Message(message) = &mut self.body else {
            return;
        };
        for part in &mut message.content {
            match part {
                Content::InputAudio { transcript, .. } | Content::OutputAudio { transcript } => {
                    *transcript = Some(said);
                    return;
                }
                Content::OutputText { .. } | Content::InputText { .. } => {}
            }
        }
    }

    /// The same with its sound written out, in `format`.
    fn with_audio(&self, format: Format) -> Item {
        let mut item = self.clone();
        let (Body::Message(message), Some(sound)) = (&mut item.body, &self.sound) else {
            return item;
        };
        let Ok(at_rate) = mini_omni::audio::resample(sound, format.rate()) else {
            return item;
        };
        for part in &mut message.content {
            if let Content::InputAudio { audio, .. } = part {
                *audio = Some(sound::encode(at_rate.samples(), format));
            }
        }
        item
    }
}

fn role(name: Option<&str>) -> Result<Role, Refusal> {
    match name {
        Some("user") => Ok(Role::User),
        Some("assistant") => Ok(Role::Assistant),
        Some("system") => Ok(Role::System),
        _ => Err(refusal(
            "invalid_value",
            "a message's role is user, assistant or system",
        )),
    }
}

fn content(role: Role, part: NewContent) -> Result<Content, Refusal> {
    let text = part.text.unwrap_or_default();
    match (role, &*part.kind) {
        (Role::User | Role::System, "input_text") => Ok(Content::InputText { text }),
        (Role::User, "input_audio") => Ok(Content::InputAudio {
            transcript: part.transcript,
            audio: None,
        }),
        (Role::Assistant, "output_text") => Ok(Content::OutputText { text }),
        (Role::Assistant, "output_audio") => Ok(Content::OutputAudio {
            transcript: part.transcript,
        }),
        _ => Err(refusal(
            "invalid_value",
            format!(
                "no message of this role has content of type \"{}\"",
                clipped(&part.kind)
            ),
        )),
    }
}

/// The sound of all parts together.
fn sound_of(parts: &[NewContent], format: Format) -> Result<Option<Pcm>, Refusal> {
    let mut samples = Vec::new();
    for part in parts.iter().filter(|part| part.kind == "input_audio") {
        samples.extend(sound::decode(
            part.audio.as_deref().unwrap_or_default(),
            format,
        )?);
    }
    if samples.is_empty() {
        return Ok(None);
    }
    let pcm = Pcm::new(samples, format.rate())
        .map_err(|error| refusal("invalid_audio", error.to_string()))?;
    if pcm.seconds() > LONGEST {
        let sentence = format!("an item has at most {LONGEST} seconds of sound");
        return Err(refusal("item_too_large", sentence));
    }
    Ok(Some(pcm))
}

/// All of them.
#[derive(Debug, Default)]
pub struct Items(VecDeque<Item>);

impl Items {
    /// The item of that id.
    pub fn get(&self, id: &str) -> Option<&Item> {
        self.0.iter().find(|item| item.id == id)
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, id: &str) -> Option<&mut Item> {
        self.0.iter_mut().find(|item| item.id == id)
    }

    /// The same as it is retrieved, its sound written out.
    pub fn retrieved(&self, id: &str, format: Format) -> Option<Item> {
        self.get(id).map(|item| item.with_audio(format))
    }

    /// The id of the last one.
    pub fn last_id(&self) -> Option<String> {
        self.0.back().map(|item| item.id.clone())
    }

    /// The id of the one before an item.
    pub fn before(&self, id: &str) -> Option<String> {
        let place = self.0.iter().position(|item| item.id == id)?;
        Some(self.0.get(place.checked_sub(1)?)?.id.clone())
    }

    /// The last question.
    pub fn question(&self) -> Option<&Item> {
        self.0.iter().rev().find(|item| item.is_question())
    }

    /// Puts an item at the end; the id of the one before it.
    pub fn push(&mut self, item: Item) -> Option<String> {
        let previous = self.last_id();
        self.0.push_back(item);
        self.forget();
        previous
    }

    /// Puts a client's item behind the one that it names: "root" is before the first, `None` behind
    /// the last. The id of the one before it.
    pub fn insert(
        &mut self,
        item: Item,
        previous: Option<&str>,
    ) -> Result<Option<String>, Refusal> {
        if self.get(&item.id).is_some() {
            let sentence = format!("there is an item \"{}\" already", clipped(&item.id));
            return Err(refusal("item_create_duplicate_item_id", sentence));
        }
        let Some(previous) = previous else {
            return Ok(self.push(item));
        };
        let place = match self.0.iter().position(|item| item.id == previous) {
            Some(place) => place + 1,
            None if previous == "root" => 0,
            None => {
                let previous = clipped(previous);
                let sentence = format!("there is no item \"{previous}\" to put one behind");
                return Err(refusal("item_create_invalid_previous_item_id", sentence));
            }
        };
        self.0.insert(place, item);
        self.forget();
        Ok((place > 0).then(|| previous.to_string()))
    }

    /// Takes an item out; whether it was there.
    pub fn remove(&mut self, id: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|item| item.id != id);
        self.0.len() < before
    }

    fn forget(&mut self) {
        while self.0.len() > MOST_ITEMS {
            self.0.pop_front();
        }
        let with_sound = self.0.iter_mut().rev().filter(|item| item.sound.is_some());
        for item in with_sound.skip(MOST_SOUNDS) {
            item.sound = None;
        }
    }
}

/// The last question of some items that are no part of the conversation.
pub fn question_of(items: &[Item]) -> Option<&Item> {
    items.iter().rev().find(|item| item.is_question())
}
