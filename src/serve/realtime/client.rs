//! What a client says: its events, read from JSON.
//!
//! Only the names of the general API are known; `shapes` has their fields. What is wrong with an event
//! becomes a [`Refusal`], which is sent back with the event's own id; it never ends the connection.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::config::{Format, MaxTokens, Modality};
use super::server::ErrorBody;
use super::shapes::EVENTS;
use crate::serve::shape::{Shape, Wrong, clipped};

/// An event that came, and its id, if it has one.
#[derive(Debug)]
pub struct Received {
    pub event_id: Option<String>,
    pub event: Result<ClientEvent, Refusal>,
}

/// Why an event has no effect: what `error` says.
pub type Refusal = Box<ErrorBody>;

/// A refusal of an event by its content.
pub fn refusal(code: &'static str, message: impl Into<String>) -> Refusal {
    Box::new(ErrorBody::invalid(code, message))
}

/// What is wrong with a value, as the refusal of the event that it is in.
impl From<Wrong> for Refusal {
    fn from(wrong: Wrong) -> Refusal {
        Box::new(ErrorBody {
            param: Some(wrong.path).filter(|path| !path.is_empty()),
            ..ErrorBody::invalid(wrong.code, wrong.sentence)
        })
    }
}

/// What a client may say.
#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
pub enum ClientEvent {
    #[serde(rename = "session.update")]
    SessionUpdate { session: Map<String, Value> },
    #[serde(rename = "input_audio_buffer.append")]
    Append { audio: String },
    #[serde(rename = "input_audio_buffer.commit")]
    Commit {},
    #[serde(rename = "input_audio_buffer.clear")]
    Clear {},
    #[serde(rename = "conversation.item.create")]
    ItemCreate {
        previous_item_id: Option<String>,
        item: NewItem,
    },
    #[serde(rename = "conversation.item.retrieve")]
    ItemRetrieve { item_id: String },
    #[serde(rename = "conversation.item.delete")]
    ItemDelete { item_id: String },
    #[serde(rename = "conversation.item.truncate")]
    ItemTruncate {
        item_id: String,
        content_index: Option<u32>,
        audio_end_ms: f64,
    },
    #[serde(rename = "response.create")]
    ResponseCreate { response: Option<ResponseParams> },
    #[serde(rename = "response.cancel")]
    ResponseCancel { response_id: Option<String> },
}

/// An item as a client makes it.
#[derive(Debug, Deserialize)]
pub struct NewItem {
    pub id: Option<String>,
    #[serde(rename = "type")]
    pub kind: String,
    pub role: Option<String>,
    pub content: Option<Vec<NewContent>>,
    /// Fields of items that are no messages, kept as they are.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// A part of such an item.
#[derive(Debug, Deserialize)]
pub struct NewContent {
    #[serde(rename = "type")]
    pub kind: String,
    pub text: Option<String>,
    pub audio: Option<String>,
    pub transcript: Option<String>,
}

/// What is said about one response.
#[derive(Debug, Default, Deserialize)]
pub struct ResponseParams {
    pub conversation: Option<String>,
    pub input: Option<Vec<NewItem>>,
    pub metadata: Option<Map<String, Value>>,
    pub output_modalities: Option<Vec<Modality>>,
    pub max_output_tokens: Option<MaxTokens>,
    pub audio: Option<ResponseAudio>,
}

/// The sound of one response.
#[derive(Debug, Default, Deserialize)]
pub struct ResponseAudio {
    pub output: Option<ResponseAudioOutput>,
}

/// The same, its output.
#[derive(Debug, Default, Deserialize)]
pub struct ResponseAudioOutput {
    pub format: Option<Format>,
}

impl Received {
    /// Reads a message.
    pub fn read(message: &str) -> Received {
        let refused = |event_id, refusal| Received {
            event_id,
            event: Err(refusal),
        };
        let mut fields = match serde_json::from_str(message) {
            Ok(Value::Object(fields)) => fields,
            Ok(_) => {
                return refused(None, refusal("invalid_json", "an event is a JSON object"));
            }
            Err(error) => {
                let (line, column) = (error.line(), error.column());
                let sentence = format!("the message is no JSON: line {line}, column {column}");
                return refused(None, refusal("invalid_json", sentence));
            }
        };
        let event_id = fields.remove("event_id").unwrap_or_default();
        if let (false, Err(wrong)) = (event_id.is_null(), Shape::Id.check("event_id", &event_id)) {
            return refused(None, wrong.into());
        }
        Received {
            event: read_event(fields),
            event_id: event_id.as_str().map(str::to_string),
        }
    }
}

fn read_event(fields: Map<String, Value>) -> Result<ClientEvent, Refusal> {
    let kind = fields.get("type").and_then(Value::as_str);
    let kind = kind.ok_or_else(|| {
        let error = ErrorBody::invalid("missing_required_parameter", "an event has a \"type\"");
        Box::new(error.param("type"))
    })?;
    let Some((name, shape)) = EVENTS.iter().find(|(name, _)| *name == kind) else {
        return Err(unknown_event(kind));
    };
    let event = Value::Object(fields);
    shape.check("", &event)?;
    serde_json::from_value(event)
        .map_err(|_| refusal("invalid_value", format!("{name} cannot be read")))
}

fn unknown_event(kind: &str) -> Refusal {
    let known: Vec<_> = EVENTS.iter().map(|(name, _)| *name).collect();
    let sentence = format!(
        "\"{}\" is no event that can be sent here; these are: {}",
        clipped(kind),
        known.join(", ")
    );
    Box::new(ErrorBody::invalid("invalid_value", sentence).param("type"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::shape::tests::sample;

    fn refused(message: &str) -> (Option<String>, &'static str) {
        let received = Received::read(message);
        let error = received.event.expect_err("refused");
        (received.event_id, error.code)
    }

    #[test]
    fn what_has_the_shape_of_an_event_is_read() {
        for (name, shape) in EVENTS {
            for mut event in [sample(&shape, true), sample(&shape, false)] {
                event["type"] = name.into();
                event["event_id"] = "e1".into();
                let received = Received::read(&event.to_string());
                assert_eq!(received.event_id.as_deref(), Some("e1"));
                assert!(received.event.is_ok(), "{event}: {:?}", received.event);
            }
        }
    }

    #[test]
    fn an_events_own_id_is_a_short_string_or_none() {
        let event =
            |id: Value| serde_json::json!({"type": "response.cancel", "event_id": id}).to_string();
        assert!(Received::read(&event(Value::Null)).event.is_ok());
        assert_eq!(refused(&event(7.into())), (None, "invalid_type"));
        assert_eq!(
            refused(&event("x".repeat(513).into())),
            (None, "invalid_value")
        );
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_its_own_id() {
        assert_eq!(refused("{"), (None, "invalid_json"));
        assert_eq!(refused("[1]"), (None, "invalid_json"));
        let unknown = r#"{"type": "session.destroy", "event_id": "e2"}"#;
        assert_eq!(refused(unknown), (Some("e2".into()), "invalid_value"));
        let nameless = r#"{"event_id": "e3"}"#;
        assert_eq!(
            refused(nameless),
            (Some("e3".into()), "missing_required_parameter")
        );
        let partial = r#"{"type": "input_audio_buffer.append", "event_id": "e4"}"#;
        let missing = "missing_required_parameter";
        assert_eq!(refused(partial), (Some("e4".into()), missing));
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(refused(&deep), (None, "invalid_json"));
    }
}
