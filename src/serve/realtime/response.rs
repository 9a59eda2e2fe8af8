//! One answer as the protocol tells it.
//!
//! The order is the protocol's: `response.created`, then one item of one part, announced before its
//! first delta and closed behind its last, then `response.done`. An answer that says nothing has no
//! item.

use mini_omni::audio::Resampler;
use mini_omni::{Ended, ErrorKind, Trace};
use serde_json::{Map, Value};

use super::config::{Format, MaxTokens, Modality};
use super::items::{Item, Role};
use super::server::{
    AudioOut, AudioOutput, ErrorBody, FailedWith, Part, Place, Reason, ResponseObject, ServerEvent,
    Status, StatusDetails, Usage,
};
use super::sound;
use crate::serve::counts;

/// What is known of an answer before it begins.
#[derive(Debug, Clone)]
pub struct Outline {
    pub response_id: String,
    pub item_id: String,
    /// `None`: it is no part of the conversation.
    pub conversation_id: Option<String>,
    pub modalities: Vec<Modality>,
    pub max_tokens: MaxTokens,
    pub format: Format,
    pub voice: Option<Value>,
    pub metadata: Option<Map<String, Value>>,
}

/// How an answer ended.
#[derive(Debug)]
pub enum End {
    /// By itself.
    Done(Record),
    /// By somebody's wish: whose, where nobody has said it before.
    Cut(Record, Reason),
    /// With an error.
    Failed(ErrorBody),
}

/// What a client is told of an answer's trace.
#[derive(Debug, Clone, Copy)]
pub struct Record {
    pub ended: Ended,
    pub usage: Usage,
}

impl From<Box<Trace>> for Record {
    /// Counts columns that were read and ids that were written; a frame of sound is one id of seven
    /// streams and counts as one.
    fn from(trace: Box<Trace>) -> Record {
        Record {
            ended: trace.ended,
            usage: Usage::new(counts::prompt(&trace), counts::answer(&trace)),
        }
    }
}

/// An answer under way.
pub struct Response {
    outline: Outline,
    text: String,
    /// Samples of its sound so far, at the codec's rate.
    pub samples: u64,
    /// To the client's rate. A codec's rate was checked with its manifest, so there is one.
    resampler: Option<Resampler>,
    /// Whether its item was announced.
    begun: bool,
    /// Why it is to end early, once somebody wants that.
    pub cut: Option<Reason>,
    /// Its text as far as it was heard, once the person spoke into it or the client cut it.
    pub heard: Option<String>,
}

impl Response {
    /// `codec_rate`: Hz of the sound that will come.
    pub fn new(outline: Outline, codec_rate: u32) -> Response {
        Response {
            resampler: Resampler::new(codec_rate, outline.format.rate()).ok(),
            outline,
            text: String::new(),
            samples: 0,
            begun: false,
            cut: None,
            heard: None,
        }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.outline.response_id
    }

    /// The id of its item.
    pub fn item_id(&self) -> &str {
        &self.outline.item_id
    }

    /// Whether it belongs to the conversation.
    pub fn in_conversation(&self) -> bool {
        self.outline.conversation_id.is_some()
    }

    /// Its item, as it is now; `None` before it is announced.
    pub fn item(&self, status: Status) -> Option<Item> {
        self.begun.then(|| self.make_item(status))
    }

    fn make_item(&self, status: Status) -> Item {
        let content = match status {
            Status::InProgress => Vec::new(),
            _ => vec![self.part().content()],
        };
        Item::message(
            self.outline.item_id.clone(),
            Role::Assistant,
            status,
            content,
        )
    }

    fn is_spoken(&self) -> bool {
        self.outline.modalities.contains(&Modality::Audio)
    }

    fn part(&self) -> Part {
        match self.is_spoken() {
            true => Part::Audio {
                transcript: self.text.clone(),
            },
            false => Part::Text {
                text: self.text.clone(),
            },
        }
    }

    fn place(&self) -> Place {
        Place {
            response_id: self.outline.response_id.clone(),
            item_id: self.outline.item_id.clone(),
            output_index: 0,
            content_index: 0,
        }
    }

    /// The first event.
    pub fn created(&self) -> ServerEvent {
        ServerEvent::ResponseCreated {
            response: self.object(Status::InProgress, None, None),
        }
    }

    /// Whether the item must be announced before what comes now.
    pub fn begins(&mut self) -> bool {
        !std::mem::replace(&mut self.begun, true)
    }

    /// The announcement of the item; the conversation's own comes between them.
    pub fn announced(&self) -> [ServerEvent; 2] {
        [
            ServerEvent::OutputItemAdded {
                response_id: self.outline.response_id.clone(),
                output_index: 0,
                item: self.make_item(Status::InProgress),
            },
            ServerEvent::PartAdded {
                place: self.place(),
                part: self.part(),
            },
        ]
    }

    /// Its next characters.
    pub fn text(&mut self, delta: String) -> ServerEvent {
        self.text.push_str(&delta);
        let place = self.place();
        match self.is_spoken() {
            true => ServerEvent::TranscriptDelta { place, delta },
            false => ServerEvent::TextDelta { place, delta },
        }
    }

    /// Its next samples, in pieces that a client takes.
    pub fn audio(&mut self, samples: &[f32]) -> Vec<ServerEvent> {
        self.samples += samples.len() as u64;
        let resampled = self.resampler.as_mut().map(|r| r.push(samples));
        self.deltas(&resampled.unwrap_or_default())
    }

    fn deltas(&self, samples: &[f32]) -> Vec<ServerEvent> {
        let delta = |piece| ServerEvent::AudioDelta {
            place: self.place(),
            delta: sound::encode(piece, self.outline.format),
        };
        samples.chunks(sound::MOST_SAMPLES).map(delta).collect()
    }

    /// The last events of its item, the conversation's own left out; none if it was not announced.
    pub fn closed(&mut self, status: Status) -> Vec<ServerEvent> {
        if !self.begun {
            return Vec::new();
        }
        let place = self.place();
        let mut events = Vec::new();
        if self.is_spoken() {
            let rest = self.resampler.as_mut().map(Resampler::finish);
            events.extend(self.deltas(&rest.unwrap_or_default()));
            events.push(ServerEvent::AudioDone {
                place: place.clone(),
            });
            events.push(ServerEvent::TranscriptDone {
                place: place.clone(),
                transcript: self.text.clone(),
            });
        } else {
            events.push(ServerEvent::TextDone {
                place: place.clone(),
                text: self.text.clone(),
            });
        }
        let part = self.part();
        events.push(ServerEvent::PartDone { place, part });
        events.push(ServerEvent::OutputItemDone {
            response_id: self.outline.response_id.clone(),
            output_index: 0,
            item: self.make_item(status),
        });
        events
    }

    /// How its item ended.
    pub fn item_status(status: Status) -> Status {
        match status {
            Status::Completed => Status::Completed,
            _ => Status::Incomplete,
        }
    }

    /// The last event.
    pub fn done(&self, end: &End) -> ServerEvent {
        let (status, reason, error) = self.outcome(end);
        let details = (status != Status::Completed).then_some(StatusDetails {
            kind: status,
            reason,
            error,
        });
        let usage = match end {
            End::Done(record) | End::Cut(record, _) => record.usage,
            End::Failed(_) => Usage::default(),
        };
        ServerEvent::ResponseDone {
            response: self.object(status, details, Some(usage)),
        }
    }

    /// How it ended, in the protocol's words.
    pub fn outcome(&self, end: &End) -> (Status, Option<Reason>, Option<FailedWith>) {
        match end {
            End::Failed(error) => (Status::Failed, None, Some(error.clone().into())),
            End::Cut(_, reason) => (Status::Cancelled, Some(self.cut.unwrap_or(*reason)), None),
            End::Done(record) => match record.ended {
                Ended::Limit => (Status::Incomplete, Some(Reason::MaxOutputTokens), None),
                Ended::NoSpeech => (Status::Failed, None, Some(no_speech().into())),
                _ => (Status::Completed, None, None),
            },
        }
    }

    fn object(
        &self,
        status: Status,
        status_details: Option<StatusDetails>,
        usage: Option<Usage>,
    ) -> ResponseObject {
        let outline = &self.outline;
        let item = match status {
            Status::InProgress => None,
            _ => self.item(Response::item_status(status)),
        };
        ResponseObject {
            object: "realtime.response",
            id: outline.response_id.clone(),
            status,
            status_details,
            output: item.into_iter().collect(),
            conversation_id: outline.conversation_id.clone(),
            output_modalities: outline.modalities.clone(),
            max_output_tokens: outline.max_tokens,
            audio: AudioOut {
                output: AudioOutput {
                    format: outline.format,
                    voice: outline.voice.clone(),
                },
            },
            usage,
            metadata: outline.metadata.clone(),
        }
    }
}

fn no_speech() -> ErrorBody {
    ErrorBody::invalid("no_speech", "there is no speech in the question")
}

/// An error of the library in the protocol's words.
pub fn error_body(error: &mini_omni::Error) -> ErrorBody {
    let sentence = error.to_string();
    match error.kind() {
        ErrorKind::Busy => ErrorBody::server("busy", sentence),
        ErrorKind::TooLong => ErrorBody::invalid("question_too_long", sentence),
        ErrorKind::NoWords => ErrorBody::invalid("no_question", sentence),
        ErrorKind::Audio => ErrorBody::invalid("invalid_audio", sentence),
        _ => ErrorBody::server("internal_error", sentence),
    }
}
