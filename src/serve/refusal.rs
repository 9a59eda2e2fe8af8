//! Why something is refused: a reason for the program, a sentence for the person.
//!
//! The body is the error JSON of OpenAI's API, so that its clients raise the right exception.

use axum::Json;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use mini_omni::{Error, ErrorKind};
use serde_json::{Value, json};

use super::shape::Wrong;

/// Seconds after which a client that was refused for want of room may ask again.
const RETRY_SECONDS: &str = "1";

/// What kind of refusal it is. Its code is in answers, logs and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The model is still being loaded.
    Loading,
    /// The server is stopping.
    Draining,
    /// As many conversations as the server takes are under way.
    Full,
    /// The model's threads have died.
    Dead,
    /// The bearer token is missing or another one.
    Unauthorized,
    /// A page of another site asked.
    Origin,
    /// The address asked for is not this server's.
    Host,
    /// The body is larger than is taken.
    TooLarge,
    /// The client did not send what it announced in time.
    TooSlow,
    /// The request cannot be understood.
    BadRequest,
    /// The sound cannot be read.
    BadAudio,
    /// The question is longer than the model hears or reads.
    TooLong,
    /// There is no speech in the question.
    NoSpeech,
    /// A Mini-Omni cannot do that, or this server does not.
    Unsupported,
    /// There is no such address.
    NotFound,
    /// The address takes another method.
    Method,
    /// The model failed.
    Failed,
}

impl Reason {
    /// All of them, for the metrics.
    pub const ALL: [Reason; 17] = [
        Reason::Loading,
        Reason::Draining,
        Reason::Full,
        Reason::Dead,
        Reason::Unauthorized,
        Reason::Origin,
        Reason::Host,
        Reason::TooLarge,
        Reason::TooSlow,
        Reason::BadRequest,
        Reason::BadAudio,
        Reason::TooLong,
        Reason::NoSpeech,
        Reason::Unsupported,
        Reason::NotFound,
        Reason::Method,
        Reason::Failed,
    ];

    /// Its name and its HTTP status.
    fn row(self) -> (&'static str, StatusCode) {
        match self {
            Reason::Loading => ("model_loading", StatusCode::SERVICE_UNAVAILABLE),
            Reason::Draining => ("server_stopping", StatusCode::SERVICE_UNAVAILABLE),
            Reason::Full => ("server_full", StatusCode::SERVICE_UNAVAILABLE),
            Reason::Dead => ("model_stopped", StatusCode::SERVICE_UNAVAILABLE),
            Reason::Unauthorized => ("invalid_api_key", StatusCode::UNAUTHORIZED),
            Reason::Origin => ("origin_not_allowed", StatusCode::FORBIDDEN),
            Reason::Host => ("host_not_allowed", StatusCode::FORBIDDEN),
            Reason::TooLarge => ("body_too_large", StatusCode::PAYLOAD_TOO_LARGE),
            Reason::TooSlow => ("client_too_slow", StatusCode::REQUEST_TIMEOUT),
            Reason::BadRequest => ("invalid_request", StatusCode::BAD_REQUEST),
            Reason::BadAudio => ("invalid_audio", StatusCode::BAD_REQUEST),
            Reason::TooLong => ("question_too_long", StatusCode::BAD_REQUEST),
            Reason::NoSpeech => ("no_speech", StatusCode::BAD_REQUEST),
            Reason::Unsupported => ("unsupported", StatusCode::BAD_REQUEST),
            Reason::NotFound => ("not_found", StatusCode::NOT_FOUND),
            Reason::Method => ("method_not_allowed", StatusCode::METHOD_NOT_ALLOWED),
            Reason::Failed => ("server_error", StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    /// Its name in answers, logs and metrics.
    pub fn code(self) -> &'static str {
        self.row().0
    }

    /// Its HTTP status.
    pub fn status(self) -> StatusCode {
        self.row().1
    }
}

/// A refusal.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// What kind it is.
    pub reason: Reason,
    /// A whole sentence.
    pub sentence: String,
    /// The field of the request that is to blame.
    pub param: Option<String>,
}

impl Refusal {
    /// A refusal that is nobody's field.
    pub fn new(reason: Reason, sentence: impl Into<String>) -> Refusal {
        let sentence = sentence.into();
        Refusal {
            reason,
            sentence,
            param: None,
        }
    }

    /// A request that cannot be understood.
    pub fn bad(param: &'static str, sentence: impl Into<String>) -> Refusal {
        Refusal::new(Reason::BadRequest, sentence).of(param)
    }

    /// Something that a Mini-Omni cannot do, or this server does not.
    pub fn unsupported(param: &'static str, sentence: impl Into<String>) -> Refusal {
        Refusal::new(Reason::Unsupported, sentence).of(param)
    }

    /// Names the field that is to blame.
    pub fn of(mut self, param: impl Into<String>) -> Refusal {
        self.param = Some(param.into());
        self
    }

    /// The kind of error that OpenAI's clients know.
    pub fn kind(&self) -> &'static str {
        match self.reason.status().as_u16() {
            401 => "authentication_error",
            403 => "permission_error",
            500.. => "server_error",
            _ => "invalid_request_error",
        }
    }

    /// OpenAI's error JSON.
    pub fn json(&self) -> Value {
        json!({"error": {
            "message": self.sentence,
            "type": self.kind(),
            "param": self.param,
            "code": self.reason.code(),
        }})
    }
}

/// A field of the request that is not what it has to be.
impl From<Wrong> for Refusal {
    fn from(wrong: Wrong) -> Refusal {
        Refusal {
            param: Some(wrong.path).filter(|path| !path.is_empty()),
            ..Refusal::new(Reason::BadRequest, wrong.sentence)
        }
    }
}

/// What the library refuses.
impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        let reason = match error.kind() {
            ErrorKind::Busy => Reason::Full,
            ErrorKind::Stopped => Reason::Dead,
            ErrorKind::Audio => Reason::BadAudio,
            ErrorKind::TooLong => Reason::TooLong,
            ErrorKind::NoWords | ErrorKind::NeedsAudio | ErrorKind::NeedsText => Reason::BadRequest,
            _ => Reason::Failed,
        };
        Refusal::new(reason, error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.reason.status(), Json(self.json())).into_response();
        let header = match self.reason.status() {
            StatusCode::SERVICE_UNAVAILABLE => Some((RETRY_AFTER, RETRY_SECONDS)),
            StatusCode::UNAUTHORIZED => Some((WWW_AUTHENTICATE, "Bearer")),
            _ => None,
        };
        if let Some((name, value)) = header {
            let value = HeaderValue::from_static(value);
            response.headers_mut().insert(name, value);
        }
        // The log and the metrics read it there.
        response.extensions_mut().insert(self.reason);
        response
    }
}
