//! What a client says: its events, read from JSON.
//!
//! Only the names of the general API are known. What is wrong with an event becomes a [`Refusal`],
//! which is sent back with the event's own id; it never ends the connection.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::config::{Format, MaxTokens, Modality};
use super::server::ErrorBody;

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

/// What a client may say.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", deny_unknown_fields)]
pub enum ClientEvent {
    #[serde(rename = "session.update")]
    SessionUpdate { session: Value },
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
        #[serde(default)]
        content_index: u32,
        audio_end_ms: f64,
    },
    #[serde(rename = "response.create")]
    ResponseCreate { response: Option<ResponseParams> },
    #[serde(rename = "response.cancel")]
    ResponseCancel { response_id: Option<String> },
}

/// The names of the above, for the sentence that refuses others.
const KNOWN: [&str; 10] = [
    "session.update",
    "input_audio_buffer.append",
    "input_audio_buffer.commit",
    "input_audio_buffer.clear",
    "conversation.item.create",
    "conversation.item.retrieve",
    "conversation.item.delete",
    "conversation.item.truncate",
    "response.create",
    "response.cancel",
];

/// An item as a client makes it.
#[derive(Debug, Deserialize)]
pub struct NewItem {
    pub id: Option<String>,
    #[serde(rename = "type")]
    pub kind: String,
    pub role: Option<String>,
    #[serde(default)]
    pub content: Vec<NewContent>,
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
#[serde(deny_unknown_fields)]
pub struct ResponseParams {
    pub conversation: Option<String>,
    pub input: Option<Vec<NewItem>>,
    pub metadata: Option<Map<String, Value>>,
    pub output_modalities: Option<Vec<Modality>>,
    pub max_output_tokens: Option<MaxTokens>,
    pub audio: Option<ResponseAudio>,
    // Taken and without effect: Mini-Omni has nothing that they could change.
    #[serde(rename = "instructions")]
    _instructions: Option<Value>,
    #[serde(rename = "tools")]
    _tools: Option<Value>,
    #[serde(rename = "tool_choice")]
    _tool_choice: Option<Value>,
    #[serde(rename = "parallel_tool_calls")]
    _parallel_tool_calls: Option<Value>,
    #[serde(rename = "prompt")]
    _prompt: Option<Value>,
    #[serde(rename = "reasoning")]
    _reasoning: Option<Value>,
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
                let sentence = format!("the message is no JSON: {error}");
                return refused(None, refusal("invalid_json", sentence));
            }
        };
        let event_id = match fields.remove("event_id") {
            Some(Value::String(id)) => Some(id),
            _ => None,
        };
        Received {
            event: read_event(fields),
            event_id,
        }
    }
}

fn read_event(fields: Map<String, Value>) -> Result<ClientEvent, Refusal> {
    let kind = match fields.get("type").and_then(Value::as_str) {
        Some(kind) if KNOWN.contains(&kind) => kind.to_string(),
        Some(kind) => {
            let shown: String = kind.chars().take(64).collect();
            let sentence = format!(
                "\"{shown}\" is no event that can be sent here; these are: {}",
                KNOWN.join(", ")
            );
            return Err(Box::new(
                ErrorBody::invalid("invalid_value", sentence).param("type"),
            ));
        }
        None => {
            let error = ErrorBody::invalid("missing_required_parameter", "an event has a \"type\"");
            return Err(Box::new(error.param("type")));
        }
    };
    serde_json::from_value(Value::Object(fields))
        .map_err(|error| refusal("invalid_value", format!("{kind}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(message: &str) -> (Option<String>, &'static str) {
        let received = Received::read(message);
        let error = received.event.expect_err("refused");
        (received.event_id, error.code)
    }

    #[test]
    fn every_known_name_is_read() {
        for name in KNOWN {
            let message = serde_json::json!({
                "type": name, "event_id": "e1", "session": {}, "audio": "", "item_id": "i",
                "audio_end_ms": 12, "item": {"type": "message"}, "response": {},
            });
            let Value::Object(mut fields) = message else {
                panic!("an object")
            };
            // Unknown fields are refused, so each event gets its own.
            let own: &[&str] = match name {
                "session.update" => &["session"],
                "input_audio_buffer.append" => &["audio"],
                "conversation.item.create" => &["item"],
                "conversation.item.retrieve" | "conversation.item.delete" => &["item_id"],
                "conversation.item.truncate" => &["item_id", "audio_end_ms"],
                "response.create" => &["response"],
                _ => &[],
            };
            fields.retain(|key, _| ["type", "event_id"].contains(&&**key) || own.contains(&&**key));
            let received = Received::read(&Value::Object(fields).to_string());
            assert_eq!(received.event_id.as_deref(), Some("e1"));
            assert!(received.event.is_ok(), "{name}: {:?}", received.event);
        }
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
        assert_eq!(refused(partial), (Some("e4".into()), "invalid_value"));
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(refused(&deep), (None, "invalid_json"));
    }
}
