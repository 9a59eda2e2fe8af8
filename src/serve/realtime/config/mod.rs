//! The session object: how the conversation goes, in the words of the protocol.
//!
//! `session.update` gives some of its fields; the others stay. What Mini-Omni cannot do (instructions,
//! tools, voices, …) is kept and told, as clients expect, and has no effect.

mod format;
#[cfg(test)]
mod tests;
mod turn_detection;

use mini_omni::session::{Reply, Settings, TurnEnd};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::client::{Refusal, refusal};

pub use format::Format;
pub use turn_detection::TurnDetection;

/// Text or sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Modality {
    Text,
    Audio,
}

/// Most tokens of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum MaxTokens {
    /// So many.
    Count(usize),
    /// As many as the model allows.
    Unlimited(Inf),
}

/// The word for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Inf {
    #[serde(rename = "inf")]
    Inf,
}

impl Default for MaxTokens {
    fn default() -> MaxTokens {
        MaxTokens::Unlimited(Inf::Inf)
    }
}

fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The session, as it is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionObject {
    #[serde(rename = "type")]
    kind: Kind,
    object: String,
    pub id: String,
    pub model: String,
    #[serde(deserialize_with = "null_is_spoken")]
    pub output_modalities: Vec<Modality>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub max_output_tokens: MaxTokens,
    pub audio: Audio,
    /// What has no effect, or is told by the server alone.
    #[serde(default, deserialize_with = "null_is_default")]
    instructions: String,
    #[serde(default, deserialize_with = "null_is_default")]
    tools: Vec<Value>,
    tool_choice: Option<Value>,
    parallel_tool_calls: Option<bool>,
    truncation: Option<Value>,
    tracing: Option<Value>,
    prompt: Option<Value>,
    include: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reasoning: Option<Value>,
    expires_at: Option<u64>,
}

/// There is one kind of session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Realtime,
}

/// The session's sound.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Audio {
    pub input: Input,
    pub output: Output,
}

/// What comes in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Input {
    #[serde(default, deserialize_with = "null_is_default")]
    pub format: Format,
    /// `None`: turns end by hand.
    pub turn_detection: Option<TurnDetection>,
    /// `None`: speech is not written down.
    pub transcription: Option<Map<String, Value>>,
    noise_reduction: Option<Value>,
}

impl Default for Input {
    fn default() -> Input {
        Input {
            format: Format::default(),
            turn_detection: Some(TurnDetection::default()),
            transcription: None,
            noise_reduction: None,
        }
    }
}

/// What goes out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Output {
    #[serde(default, deserialize_with = "null_is_default")]
    pub format: Format,
    pub voice: Option<Value>,
    speed: Option<f64>,
}

fn null_is_spoken<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Modality>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_else(|| vec![Modality::Audio]))
}

/// Bytes of a session, as JSON.
const LARGEST: usize = 512 << 10;
/// Fields that are the server's: there is one model, whatever a client calls it.
const OWN: [&str; 5] = ["type", "object", "id", "model", "expires_at"];
/// Objects whose fields stay where an update does not name them; any other value is replaced.
const MERGED: [&str; 3] = ["audio", "input", "output"];

impl SessionObject {
    /// A session before any update.
    pub fn new(id: String, model: String) -> SessionObject {
        SessionObject {
            kind: Kind::Realtime,
            object: "realtime.session".into(),
            id,
            model,
            output_modalities: vec![Modality::Audio],
            max_output_tokens: MaxTokens::default(),
            audio: Audio::default(),
            instructions: String::new(),
            tools: Vec::new(),
            tool_choice: Some("auto".into()),
            parallel_tool_calls: None,
            truncation: Some("auto".into()),
            tracing: None,
            prompt: None,
            include: None,
            reasoning: None,
            expires_at: None,
        }
    }

    /// The session with `update`'s fields, which have their shape, in place of its own.
    pub fn updated(&self, mut update: Map<String, Value>) -> Result<SessionObject, Refusal> {
        let unread = |_| refusal("invalid_value", "the session cannot be read");
        update.retain(|key, _| !OWN.contains(&&**key));
        let mut session = serde_json::to_value(self).map_err(unread)?;
        merge(&mut session, update);
        let session: SessionObject = serde_json::from_value(session).map_err(unread)?;
        session.check()?;
        Ok(session)
    }

    fn check(&self) -> Result<(), Refusal> {
        let length = serde_json::to_string(self).map_or(0, |json| json.len());
        if length > LARGEST {
            let sentence = format!("a session has at most {LARGEST} bytes");
            return Err(refusal("session_too_large", sentence));
        }
        self.audio.input.format.check()?;
        self.audio.output.format.check()?;
        spoken(&self.output_modalities)?;
        check_max_tokens(self.max_output_tokens)?;
        match &self.audio.input.turn_detection {
            Some(detection) => detection.check(),
            None => Ok(()),
        }
    }

    /// The same in the library's words; `base`: what the server's owner chose.
    pub fn settings(&self, base: &Settings) -> Settings {
        let mut settings = base.clone();
        settings.input_rate = self.audio.input.format.rate();
        settings.reply = reply(&base.reply, &self.output_modalities, self.max_output_tokens);
        match &self.audio.input.turn_detection {
            Some(detection) => detection.apply(&mut settings),
            None => {
                settings.turn_end = TurnEnd::ByHand;
                settings.answer = false;
                settings.interrupt = false;
            }
        }
        settings
    }
}

/// Puts an update's fields in their places. Within an object that is replaced, null means the default.
fn merge(session: &mut Value, update: Map<String, Value>) {
    for (key, value) in update {
        match (value, MERGED.contains(&&*key)) {
            (Value::Object(fields), true) => merge(&mut session[&key], fields),
            (Value::Null, true) => {}
            (Value::Object(mut fields), false) => {
                fields.retain(|_, value| !value.is_null());
                session[&key] = fields.into();
            }
            (value, _) => session[&key] = value,
        }
    }
}

/// Whether an answer is spoken. A spoken one has its transcript, so both at once are not asked for.
pub fn spoken(modalities: &[Modality]) -> Result<bool, Refusal> {
    match modalities {
        [Modality::Audio] => Ok(true),
        [Modality::Text] => Ok(false),
        _ => Err(refusal(
            "invalid_value",
            "output_modalities is [\"audio\"] or [\"text\"]; sound comes with its transcript",
        )),
    }
}

/// Refuses an answer of no tokens.
pub fn check_max_tokens(most: MaxTokens) -> Result<(), Refusal> {
    match most {
        MaxTokens::Count(0) => Err(refusal(
            "invalid_value",
            "max_output_tokens is at least 1, or \"inf\"",
        )),
        _ => Ok(()),
    }
}

/// How a question is answered; `base`: what the server's owner chose.
pub fn reply(base: &Reply, modalities: &[Modality], most: MaxTokens) -> Reply {
    let mut reply = base.clone();
    reply.spoken = modalities.contains(&Modality::Audio);
    // A step writes a text id and a frame of sound, so steps are what is limited.
    if let MaxTokens::Count(steps) = most {
        let limit = base.options.max_steps.map_or(steps, |own| own.min(steps));
        reply.options.max_steps = Some(limit);
    }
    reply
}
