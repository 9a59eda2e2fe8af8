//! The session object: how the conversation goes, in the words of the protocol.
//!
//! `session.update` gives some of its fields; the others stay. What Mini-Omni cannot do (instructions,
//! tools, voices, …) is kept and told, as clients expect, and has no effect.

use mini_omni::session::{Reply, Settings, TurnEnd};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::client::{Refusal, refusal};

/// Text or sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Modality {
    Text,
    Audio,
}

/// How sound is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Format {
    /// 16 bits, little-endian, mono.
    #[serde(rename = "audio/pcm")]
    Pcm {
        #[serde(default = "pcm_rate")]
        rate: u32,
    },
    /// µ-law.
    #[serde(rename = "audio/pcmu")]
    Pcmu {},
    /// A-law.
    #[serde(rename = "audio/pcma")]
    Pcma {},
}

/// Hz of the telephone's formats.
const TELEPHONE_RATE: u32 = 8_000;

/// Hz: the only rate that PCM may have.
fn pcm_rate() -> u32 {
    24_000
}

impl Format {
    /// Hz.
    pub fn rate(self) -> u32 {
        match self {
            Format::Pcm { .. } => pcm_rate(),
            Format::Pcmu {} | Format::Pcma {} => TELEPHONE_RATE,
        }
    }

    /// Refuses a rate that PCM does not have here.
    pub fn check(self) -> Result<(), Refusal> {
        match self {
            Format::Pcm { rate } if rate != pcm_rate() => Err(refusal(
                "invalid_value",
                format!("audio/pcm has a rate of 24000 Hz, not {rate}"),
            )),
            _ => Ok(()),
        }
    }
}

impl Default for Format {
    fn default() -> Format {
        Format::Pcm { rate: pcm_rate() }
    }
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

/// When a turn is over, and what follows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum TurnDetection {
    /// Behind a pause.
    ServerVad {
        #[serde(default = "threshold")]
        threshold: f32,
        #[serde(default = "prefix_padding")]
        prefix_padding_ms: u32,
        #[serde(default = "silence_duration")]
        silence_duration_ms: u32,
        #[serde(default)]
        idle_timeout_ms: Option<u32>,
        #[serde(default = "yes")]
        create_response: bool,
        #[serde(default = "yes")]
        interrupt_response: bool,
    },
    /// By meaning.
    SemanticVad {
        #[serde(default)]
        eagerness: Eagerness,
        #[serde(default = "yes")]
        create_response: bool,
        #[serde(default = "yes")]
        interrupt_response: bool,
    },
}

/// How soon a turn that sounds unfinished is taken to be over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Eagerness {
    Low,
    Medium,
    High,
    #[default]
    Auto,
}

impl Eagerness {
    /// The longest pause that is waited for, ms.
    fn longest(self) -> f64 {
        match self {
            Eagerness::Low => 8_000.0,
            Eagerness::Medium | Eagerness::Auto => 4_000.0,
            Eagerness::High => 2_000.0,
        }
    }
}

fn threshold() -> f32 {
    0.5
}

fn prefix_padding() -> u32 {
    300
}

fn silence_duration() -> u32 {
    500
}

fn yes() -> bool {
    true
}

fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Default for TurnDetection {
    fn default() -> TurnDetection {
        TurnDetection::ServerVad {
            threshold: threshold(),
            prefix_padding_ms: prefix_padding(),
            silence_duration_ms: silence_duration(),
            idle_timeout_ms: None,
            create_response: true,
            interrupt_response: true,
        }
    }
}

/// The session, as it is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionObject {
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(default)]
    object: String,
    #[serde(default)]
    pub id: String,
    #[serde(default, deserialize_with = "null_is_default")]
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
#[serde(deny_unknown_fields)]
pub struct Audio {
    pub input: Input,
    pub output: Output,
}

/// What comes in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
#[serde(deny_unknown_fields)]
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

    /// The session with `update`'s fields in place of its own. There is one model, whatever a client
    /// calls it, so its name stays.
    pub fn updated(&self, update: Value) -> Result<SessionObject, Refusal> {
        let invalid = |why: String| refusal("invalid_value", format!("session.update: {why}"));
        let Value::Object(update) = update else {
            return Err(invalid("the session is a JSON object".into()));
        };
        let mut session = serde_json::to_value(self).map_err(|e| invalid(e.to_string()))?;
        merge(&mut session, update);
        let session: SessionObject =
            serde_json::from_value(session).map_err(|e| invalid(e.to_string()))?;
        session.check()?;
        Ok(SessionObject {
            object: self.object.clone(),
            id: self.id.clone(),
            model: self.model.clone(),
            expires_at: self.expires_at,
            ..session
        })
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

impl TurnDetection {
    fn check(&self) -> Result<(), Refusal> {
        let TurnDetection::ServerVad {
            threshold,
            prefix_padding_ms,
            silence_duration_ms,
            ..
        } = self
        else {
            return Ok(());
        };
        let most = 10_000;
        if !(0.0..=1.0).contains(threshold) {
            return Err(refusal(
                "invalid_value",
                format!("a threshold is between 0 and 1, not {threshold}"),
            ));
        }
        if *prefix_padding_ms > most || *silence_duration_ms > most {
            return Err(refusal(
                "invalid_value",
                "prefix_padding_ms and silence_duration_ms are at most 10000",
            ));
        }
        Ok(())
    }

    fn apply(&self, settings: &mut Settings) {
        match *self {
            TurnDetection::ServerVad {
                threshold,
                prefix_padding_ms,
                silence_duration_ms,
                create_response,
                interrupt_response,
                ..
            } => {
                settings.threshold = threshold;
                settings.pre_roll = prefix_padding_ms.into();
                settings.turn_end = TurnEnd::Pause(silence_duration_ms.into());
                settings.answer = create_response;
                settings.interrupt = interrupt_response;
            }
            TurnDetection::SemanticVad {
                eagerness,
                create_response,
                interrupt_response,
            } => {
                settings.turn_end = TurnEnd::Meaning {
                    longest: eagerness.longest(),
                };
                settings.answer = create_response;
                settings.interrupt = interrupt_response;
            }
        }
    }
}

/// Whether an answer is spoken. Sound and text at once are the same as sound: it has its transcript.
pub fn spoken(modalities: &[Modality]) -> Result<bool, Refusal> {
    if modalities.is_empty() {
        return Err(refusal(
            "invalid_value",
            "output_modalities is [\"audio\"] or [\"text\"]",
        ));
    }
    Ok(modalities.contains(&Modality::Audio))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn session() -> SessionObject {
        SessionObject::new("sess_1".into(), "mini-omni-small".into())
    }

    fn updated(update: Value) -> SessionObject {
        session().updated(update).expect("a good update")
    }

    fn settings(update: Value) -> Settings {
        updated(update).settings(&Settings::default())
    }

    #[test]
    fn an_update_leaves_what_it_does_not_name() {
        let first = json!({"type": "realtime", "instructions": "Be brief.",
            "audio": {"input": {"transcription": {"model": "whisper-1"}}, "output": {"voice": "marin"}}});
        let second = json!({"type": "realtime", "audio": {"output": {"speed": 1.5}}});
        let told = updated(first).updated(second).expect("a good update");
        let told = serde_json::to_value(told).expect("JSON");
        assert_eq!(told["instructions"], "Be brief.");
        assert_eq!(
            told["audio"]["input"]["transcription"]["model"],
            "whisper-1"
        );
        assert_eq!(told["audio"]["output"]["voice"], "marin");
        assert_eq!(told["audio"]["output"]["speed"], 1.5);
        assert_eq!(
            told["audio"]["input"]["turn_detection"]["type"],
            "server_vad"
        );
    }

    #[test]
    fn the_server_keeps_its_own_fields() {
        let told = updated(
            json!({"type": "realtime", "model": "gpt-realtime", "id": "mine",
            "object": "x", "expires_at": 7}),
        );
        assert_eq!(told, session());
    }

    #[test]
    fn turn_detection_is_replaced_as_a_whole_and_null_ends_it() {
        let padded = json!({"audio": {"input": {"turn_detection":
            {"type": "server_vad", "prefix_padding_ms": 900, "create_response": false}}}});
        let told = settings(padded.clone());
        assert_eq!(
            (told.pre_roll, told.answer, told.interrupt),
            (900.0, false, true)
        );
        assert_eq!(told.turn_end, TurnEnd::Pause(500.0));
        let other = json!({"audio": {"input": {"turn_detection":
            {"type": "server_vad", "threshold": 0.7, "silence_duration_ms": 200, "interrupt_response": false,
             "create_response": null, "prefix_padding_ms": null}}}});
        let told = updated(padded).updated(other).expect("a good update");
        let told = told.settings(&Settings::default());
        assert_eq!((told.pre_roll, told.threshold), (300.0, 0.7));
        assert_eq!((told.answer, told.interrupt), (true, false));
        assert_eq!(told.turn_end, TurnEnd::Pause(200.0));
        let told = settings(json!({"audio": {"input": {"turn_detection": null}}}));
        assert_eq!((told.turn_end, told.answer), (TurnEnd::ByHand, false));
    }

    #[test]
    fn eagerness_is_the_longest_pause() {
        for (eagerness, longest) in [("low", 8e3), ("medium", 4e3), ("auto", 4e3), ("high", 2e3)] {
            let told = settings(json!({"audio": {"input": {"turn_detection":
                {"type": "semantic_vad", "eagerness": eagerness}}}}));
            assert_eq!(told.turn_end, TurnEnd::Meaning { longest });
        }
    }

    #[test]
    fn nulls_are_the_defaults() {
        let told = updated(
            json!({"type": "realtime", "output_modalities": null, "tools": null,
            "instructions": null, "max_output_tokens": null, "tracing": null, "audio":
            {"input": {"format": null, "noise_reduction": null, "transcription": null}, "output": null}}),
        );
        assert_eq!(told, session());
    }

    #[test]
    fn the_rate_follows_the_format() {
        for (format, rate) in [
            ("audio/pcm", 24_000),
            ("audio/pcmu", 8_000),
            ("audio/pcma", 8_000),
        ] {
            let told = settings(json!({"audio": {"input": {"format": {"type": format}}}}));
            assert_eq!(told.input_rate, rate);
        }
    }

    #[test]
    fn a_limit_counts_steps() {
        let steps = |update| settings(update).reply.options.max_steps;
        assert_eq!(steps(json!({"max_output_tokens": 80})), Some(80));
        assert_eq!(steps(json!({"max_output_tokens": "inf"})), None);
    }

    #[test]
    fn an_answer_is_spoken_unless_text_alone_is_wanted() {
        let spoken = |modalities: Value| {
            settings(json!({"output_modalities": modalities}))
                .reply
                .spoken
        };
        assert!(spoken(json!(["audio"])) && spoken(json!(["text", "audio"])));
        assert!(!spoken(json!(["text"])));
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let input = |input: Value| json!({"audio": {"input": input}});
        for bad in [
            json!([]),
            json!({"modalities": ["audio"]}),
            json!({"voice": "alloy"}),
            json!({"type": "transcription"}),
            json!({"output_modalities": []}),
            json!({"output_modalities": ["video"]}),
            json!({"max_output_tokens": 0}),
            json!({"max_output_tokens": "many"}),
            json!({"audio": 5}),
            input(json!({"format": {"type": "audio/pcm", "rate": 16000}})),
            input(json!({"format": {"type": "pcm16"}})),
            input(json!({"turn_detection": {"type": "client_vad"}})),
            input(json!({"turn_detection": {"type": "server_vad", "threshold": 1.5}})),
            input(json!({"turn_detection": {"type": "server_vad", "silence_duration_ms": 20000}})),
            input(json!({"turn_detection": {"type": "server_vad", "silence_duration_ms": -1}})),
        ] {
            let refused = session().updated(bad.clone());
            assert!(refused.is_err(), "{bad}");
        }
    }
}
