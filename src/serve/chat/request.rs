//! What a chat completion asks, as far as a Mini-Omni can do it.
//!
//! The last message of the user is the question: the published weights were trained on single turns
//! and know no system prompt, so what comes before it is not read. Fields that are not named here are
//! not read either.

use mini_omni::Question;
use mini_omni::audio::Limit;
use serde::Deserialize;
use serde_json::Value;

use crate::serve::refusal::Refusal;
use crate::serve::sampling::Sampling;
use crate::serve::shape::{Shape, needed, optional};
use crate::serve::sound::{from_base64, read};

/// The body of a request.
#[derive(Deserialize)]
pub struct Completion {
    messages: Vec<Message>,
    modalities: Option<Vec<String>>,
    audio: Option<Audio>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    n: Option<u64>,
    tools: Option<Vec<Value>>,
    functions: Option<Vec<Value>>,
    logprobs: Option<bool>,
    response_format: Option<Kind>,
    /// How ids are chosen.
    #[serde(flatten)]
    pub sampling: Sampling,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    content: Option<Content>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Deserialize)]
struct Part {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
    input_audio: Option<InputAudio>,
}

/// `format` is not read: the bytes tell it.
#[derive(Deserialize)]
struct InputAudio {
    data: String,
}

#[derive(Deserialize)]
struct Audio {
    format: Option<String>,
}

#[derive(Deserialize)]
struct StreamOptions {
    include_usage: Option<bool>,
}

#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    kind: String,
}

/// What may stand in the body of a request. Other fields are not read.
pub const COMPLETION: Shape = Shape::Open(&[
    needed("messages", Shape::List(&MESSAGE)),
    optional("modalities", Shape::List(&Shape::Text)),
    optional("audio", Shape::Open(&[optional("format", Shape::Text)])),
    optional("stream", Shape::Truth),
    optional(
        "stream_options",
        Shape::Open(&[optional("include_usage", Shape::Truth)]),
    ),
    optional("n", Shape::Count),
    optional("tools", Shape::List(&Shape::Any)),
    optional("functions", Shape::List(&Shape::Any)),
    optional("logprobs", Shape::Truth),
    optional(
        "response_format",
        Shape::Open(&[needed("type", Shape::Text)]),
    ),
    optional("temperature", Shape::Number),
    optional("top_p", Shape::Number),
    optional("seed", Shape::Whole),
    optional("max_tokens", Shape::Whole),
    optional("max_completion_tokens", Shape::Whole),
]);

const MESSAGE: Shape = Shape::Open(&[
    needed("role", Shape::Text),
    optional("content", Shape::Either(&[Shape::Text, Shape::List(&PART)])),
]);

const PART: Shape = Shape::Open(&[
    needed("type", Shape::Text),
    optional("text", Shape::Text),
    optional("input_audio", Shape::Open(&[needed("data", Shape::Text)])),
]);

/// How the sound of an answer is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SoundFormat {
    /// A wav file.
    Wav,
    /// 16-bit samples.
    Pcm16,
}

impl Completion {
    /// Refuses what is asked for and cannot be done.
    pub fn check(&self) -> Result<(), Refusal> {
        if self.n.is_some_and(|n| n != 1) {
            return Err(Refusal::unsupported(
                "n",
                "one answer is given; leave n away",
            ));
        }
        let given = |list: &Option<Vec<Value>>| list.as_ref().is_some_and(|list| !list.is_empty());
        if given(&self.tools) || given(&self.functions) {
            return Err(Refusal::unsupported("tools", "a Mini-Omni calls no tools"));
        }
        if self.logprobs == Some(true) {
            return Err(Refusal::unsupported(
                "logprobs",
                "probabilities are not told",
            ));
        }
        match &self.response_format {
            Some(format) if format.kind != "text" => {
                let sentence = "a Mini-Omni answers in plain words, not in a given form";
                Err(Refusal::unsupported("response_format", sentence))
            }
            _ => Ok(()),
        }
    }

    /// How the answer's sound is written; `None` where only text is asked for.
    pub fn sound(&self) -> Result<Option<SoundFormat>, Refusal> {
        let modalities = self.modalities.as_deref().unwrap_or_default();
        if let Some(other) = modalities
            .iter()
            .find(|m| !["text", "audio"].contains(&&***m))
        {
            let sentence = format!("an answer is text and audio; {other:?} is neither");
            return Err(Refusal::unsupported("modalities", sentence));
        }
        if !modalities.iter().any(|m| m == "audio") {
            return Ok(None);
        }
        let format = self
            .audio
            .as_ref()
            .and_then(|audio| audio.format.as_deref());
        match (format, self.is_streamed()) {
            (Some("pcm16"), _) | (None, true) => Ok(Some(SoundFormat::Pcm16)),
            (Some("wav") | None, false) => Ok(Some(SoundFormat::Wav)),
            (Some(_), true) => {
                let sentence = "sound that is streamed is pcm16; ask for this audio.format";
                Err(Refusal::unsupported("audio.format", sentence))
            }
            (Some(_), false) => {
                let sentence =
                    "sound is written as wav or pcm16; ask for one of them in audio.format";
                Err(Refusal::unsupported("audio.format", sentence))
            }
        }
    }

    /// Whether the answer is sent while it is written.
    pub fn is_streamed(&self) -> bool {
        self.stream == Some(true)
    }

    /// Whether the stream's last event tells how much was read and written.
    pub fn tells_usage(&self) -> bool {
        self.stream_options
            .as_ref()
            .is_some_and(|options| options.include_usage == Some(true))
    }

    /// The question: what the last message of the user says. The model hears up to `hears` seconds.
    pub async fn question(&self, hears: f64) -> Result<Question, Refusal> {
        let last = self
            .messages
            .iter()
            .rev()
            .find(|message| message.role == "user");
        let content = last.and_then(|message| message.content.as_ref());
        let content = content
            .ok_or_else(|| Refusal::bad("messages", "there is no message of the role user"))?;
        let parts = match content {
            Content::Text(text) => return Ok(Question::Text(text.clone())),
            Content::Parts(parts) => parts,
        };
        let (mut text, mut sound) = (Vec::new(), None);
        for part in parts {
            match (&*part.kind, &part.text, &part.input_audio) {
                ("text", Some(words), _) => text.push(&**words),
                ("input_audio", _, Some(audio)) if sound.is_none() => sound = Some(&audio.data),
                ("input_audio", _, Some(_)) => {
                    let sentence = "a Mini-Omni hears one recording a question; send one";
                    return Err(Refusal::unsupported("messages", sentence));
                }
                (kind, ..) => {
                    let sentence =
                        format!("a message holds text or input_audio; {kind:?} is neither");
                    return Err(Refusal::unsupported("messages", sentence));
                }
            }
        }
        match sound {
            Some(_) if text.iter().any(|words| !words.trim().is_empty()) => {
                let sentence = "a Mini-Omni hears a recording or reads a text, not both at once; \
                                leave the text of this message away";
                Err(Refusal::unsupported("messages", sentence))
            }
            Some(data) => {
                let bytes = from_base64(data, "input_audio.data")?;
                let pcm = read(bytes, Limit::AtMost(hears), "input_audio.data").await?;
                Ok(Question::Audio(pcm))
            }
            None => Ok(Question::Text(text.join("\n"))),
        }
    }
}
