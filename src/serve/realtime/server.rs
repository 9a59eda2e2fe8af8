//! What the server says: its events, as JSON.
//!
//! Nulls are written, since clients tell a field that is null from one that is missing.

use serde::Serialize;
use serde_json::{Map, Value};

use super::config::{Format, MaxTokens, Modality, SessionObject};
use super::items::{Content, Item};

/// An event and its id.
#[derive(Debug, Serialize)]
pub struct Numbered<'a> {
    pub event_id: String,
    #[serde(flatten)]
    pub event: &'a ServerEvent,
}

/// What the server says.
#[derive(Debug, Serialize)]
#[serde(tag = "type")]
pub enum ServerEvent {
    #[serde(rename = "error")]
    Error { error: ErrorBody },
    #[serde(rename = "session.created")]
    SessionCreated { session: SessionObject },
    #[serde(rename = "session.updated")]
    SessionUpdated { session: SessionObject },
    #[serde(rename = "input_audio_buffer.speech_started")]
    SpeechStarted {
        audio_start_ms: u64,
        item_id: String,
    },
    #[serde(rename = "input_audio_buffer.speech_stopped")]
    SpeechStopped { audio_end_ms: u64, item_id: String },
    #[serde(rename = "input_audio_buffer.committed")]
    Committed {
        previous_item_id: Option<String>,
        item_id: String,
    },
    #[serde(rename = "input_audio_buffer.cleared")]
    Cleared {},
    #[serde(rename = "conversation.item.added")]
    ItemAdded {
        previous_item_id: Option<String>,
        item: Item,
    },
    #[serde(rename = "conversation.item.done")]
    ItemDone {
        previous_item_id: Option<String>,
        item: Item,
    },
    #[serde(rename = "conversation.item.retrieved")]
    ItemRetrieved { item: Item },
    #[serde(rename = "conversation.item.deleted")]
    ItemDeleted { item_id: String },
    #[serde(rename = "conversation.item.truncated")]
    ItemTruncated {
        item_id: String,
        content_index: u32,
        audio_end_ms: u64,
    },
    #[serde(rename = "conversation.item.input_audio_transcription.delta")]
    TranscriptionDelta {
        item_id: String,
        content_index: u32,
        delta: String,
    },
    #[serde(rename = "conversation.item.input_audio_transcription.completed")]
    TranscriptionCompleted {
        item_id: String,
        content_index: u32,
        transcript: String,
        usage: Duration,
    },
    #[serde(rename = "conversation.item.input_audio_transcription.failed")]
    TranscriptionFailed {
        item_id: String,
        content_index: u32,
        error: FailedWith,
    },
    #[serde(rename = "response.created")]
    ResponseCreated { response: ResponseObject },
    #[serde(rename = "response.done")]
    ResponseDone { response: ResponseObject },
    #[serde(rename = "response.output_item.added")]
    OutputItemAdded {
        response_id: String,
        output_index: u32,
        item: Item,
    },
    #[serde(rename = "response.output_item.done")]
    OutputItemDone {
        response_id: String,
        output_index: u32,
        item: Item,
    },
    #[serde(rename = "response.content_part.added")]
    PartAdded {
        #[serde(flatten)]
        place: Place,
        part: Part,
    },
    #[serde(rename = "response.content_part.done")]
    PartDone {
        #[serde(flatten)]
        place: Place,
        part: Part,
    },
    #[serde(rename = "response.output_text.delta")]
    TextDelta {
        #[serde(flatten)]
        place: Place,
        delta: String,
    },
    #[serde(rename = "response.output_text.done")]
    TextDone {
        #[serde(flatten)]
        place: Place,
        text: String,
    },
    #[serde(rename = "response.output_audio.delta")]
    AudioDelta {
        #[serde(flatten)]
        place: Place,
        delta: String,
    },
    #[serde(rename = "response.output_audio.done")]
    AudioDone {
        #[serde(flatten)]
        place: Place,
    },
    #[serde(rename = "response.output_audio_transcript.delta")]
    TranscriptDelta {
        #[serde(flatten)]
        place: Place,
        delta: String,
    },
    #[serde(rename = "response.output_audio_transcript.done")]
    TranscriptDone {
        #[serde(flatten)]
        place: Place,
        transcript: String,
    },
}

/// Where a piece of an answer belongs. A response has one item, of one part.
#[derive(Debug, Clone, Serialize)]
pub struct Place {
    pub response_id: String,
    pub item_id: String,
    pub output_index: u32,
    pub content_index: u32,
}

/// A part of an item that is being written.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Part {
    Audio { transcript: String },
    Text { text: String },
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ErrorBody {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub code: &'static str,
    pub message: String,
    pub param: Option<String>,
    /// The id of the client's event that it is about.
    pub event_id: Option<String>,
}

impl ErrorBody {
    /// The client did something wrong.
    pub fn invalid(code: &'static str, message: impl Into<String>) -> ErrorBody {
        ErrorBody::new("invalid_request_error", code, message)
    }

    /// The server cannot, now or at all.
    pub fn server(code: &'static str, message: impl Into<String>) -> ErrorBody {
        ErrorBody::new("server_error", code, message)
    }

    fn new(kind: &'static str, code: &'static str, message: impl Into<String>) -> ErrorBody {
        ErrorBody {
            kind,
            code,
            message: message.into(),
            param: None,
            event_id: None,
        }
    }

    /// The field that is wrong.
    pub fn param(mut self, param: impl Into<String>) -> ErrorBody {
        self.param = Some(param.into());
        self
    }
}

/// An answer, as it is told at its beginning and at its end.
#[derive(Debug, Clone, Serialize)]
pub struct ResponseObject {
    pub object: &'static str,
    pub id: String,
    pub status: Status,
    pub status_details: Option<StatusDetails>,
    pub output: Vec<Item>,
    /// `None`: it is no part of the conversation.
    pub conversation_id: Option<String>,
    pub output_modalities: Vec<Modality>,
    pub max_output_tokens: MaxTokens,
    pub audio: AudioOut,
    pub usage: Option<Usage>,
    pub metadata: Option<Map<String, Value>>,
}

/// How an answer sounds.
#[derive(Debug, Clone, Serialize)]
pub struct AudioOut {
    pub output: AudioOutput,
}

/// The same, its output.
#[derive(Debug, Clone, Serialize)]
pub struct AudioOutput {
    pub format: Format,
    pub voice: Option<Value>,
}

/// How far an answer, or an item, is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    InProgress,
    Completed,
    Cancelled,
    Incomplete,
    Failed,
}

/// Why an answer did not end as it should.
#[derive(Debug, Clone, Serialize)]
pub struct StatusDetails {
    #[serde(rename = "type")]
    pub kind: Status,
    pub reason: Option<Reason>,
    pub error: Option<FailedWith>,
}

/// The same in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    TurnDetected,
    ClientCancelled,
    MaxOutputTokens,
}

/// The error that ended an answer, or a transcription.
#[derive(Debug, Clone, Serialize)]
pub struct FailedWith {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub code: &'static str,
    pub message: String,
}

impl From<ErrorBody> for FailedWith {
    fn from(error: ErrorBody) -> FailedWith {
        FailedWith {
            kind: error.kind,
            code: error.code,
            message: error.message,
        }
    }
}

/// What an answer took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    pub total_tokens: usize,
    pub input_tokens: usize,
    pub output_tokens: usize,
    pub input_token_details: InputDetails,
    pub output_token_details: OutputDetails,
}

/// Columns of the prompt, by what was asked in them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct InputDetails {
    pub cached_tokens: usize,
    pub text_tokens: usize,
    pub audio_tokens: usize,
    pub image_tokens: usize,
    pub cached_tokens_details: CachedDetails,
}

/// Nothing of it is counted as kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct CachedDetails {
    pub text_tokens: usize,
    pub audio_tokens: usize,
    pub image_tokens: usize,
}

/// Ids that were written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct OutputDetails {
    pub text_tokens: usize,
    pub audio_tokens: usize,
}

impl Usage {
    /// `input`: text and sound; `output`: text and sound.
    pub fn new(input: [usize; 2], output: [usize; 2]) -> Usage {
        let [input_tokens, output_tokens] = [input, output].map(|n| n.iter().sum());
        Usage {
            total_tokens: input_tokens + output_tokens,
            input_tokens,
            output_tokens,
            input_token_details: InputDetails {
                text_tokens: input[0],
                audio_tokens: input[1],
                ..InputDetails::default()
            },
            output_token_details: OutputDetails {
                text_tokens: output[0],
                audio_tokens: output[1],
            },
        }
    }
}

/// How long the sound is that was transcribed.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Duration {
    #[serde(rename = "type")]
    kind: &'static str,
    pub seconds: f64,
}

impl Duration {
    pub fn new(seconds: f64) -> Duration {
        Duration {
            kind: "duration",
            seconds,
        }
    }
}

impl Part {
    /// The same as a part of an item.
    pub fn content(&self) -> Content {
        match self.clone() {
            Part::Audio { transcript } => Content::OutputAudio {
                transcript: Some(transcript),
            },
            Part::Text { text } => Content::OutputText { text },
        }
    }
}
