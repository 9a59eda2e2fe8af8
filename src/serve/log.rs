//! One line a request on standard error, when its answer has been sent or its client has gone, and one
//! a conversation at its end.
//!
//! They tell the route, the outcome and the time, and nothing of what was asked or answered.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use http_body::{Body as HttpBody, Frame, SizeHint};
use serde::Serialize;

use super::SharedState;
use super::refusal::Reason;
use super::shared::Shared;
use crate::cli::say;

/// Asked for every few seconds by machines; told only where refused.
const QUIET: [&str; 3] = ["/healthz", "/readyz", "/metrics"];
/// Characters of a path that are told.
const MOST_PATH: usize = 100;

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Format {
    /// `key=value`, for people.
    Text,
    /// An object, for programs.
    Json,
}

/// What is told of a conversation at its end.
#[derive(Serialize)]
pub struct Conversation {
    /// Seconds since 1970.
    time: f64,
    /// The session's id.
    conversation: String,
    /// Turns of the person.
    pub turns: u64,
    /// Answers, whole or not.
    pub answers: u64,
    /// How long it lasted.
    seconds: f64,
    /// Why it ended.
    reason: &'static str,
    #[serde(skip)]
    start: Instant,
}

impl Conversation {
    /// It begins.
    pub fn new(id: String) -> Conversation {
        Conversation {
            time: unix_seconds(),
            conversation: id,
            turns: 0,
            answers: 0,
            seconds: 0.0,
            reason: "",
            start: Instant::now(),
        }
    }

    /// It is over: tells it.
    pub fn ended(&mut self, reason: &'static str, format: Format) {
        self.seconds = tenths(self.start.elapsed().as_secs_f64());
        self.reason = reason;
        say(self.written(format));
    }

    fn written(&self, format: Format) -> String {
        match format {
            Format::Json => serde_json::to_string(self).unwrap_or_default(),
            Format::Text => format!(
                "time={:.3} conversation={} turns={} answers={} seconds={} reason={}",
                self.time, self.conversation, self.turns, self.answers, self.seconds, self.reason
            ),
        }
    }
}

fn unix_seconds() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_millis() as f64 / 1000.0)
}

fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

/// What is told of a request. Dropping it tells it.
struct Line {
    shared: Arc<Shared>,
    start: Instant,
    told: Told,
}

/// The fields of a line.
#[derive(Serialize)]
struct Told {
    /// Seconds since 1970.
    time: f64,
    method: String,
    path: String,
    /// 0 where the client went before it got one.
    status: u16,
    ms: f64,
    /// Of the answer's body.
    bytes: u64,
    /// Why it was refused; or `client_gone`.
    reason: Option<&'static str>,
}

/// Tells each request, and counts the refused ones.
pub async fn tell(State(shared): SharedState, request: Request, next: Next) -> Response {
    let mut line = Line::new(shared, &request);
    let response = next.run(request).await;
    line.answered(&response);
    response.map(|body| Body::new(Watched { body, line }))
}

impl Line {
    fn new(shared: Arc<Shared>, request: &Request) -> Line {
        Line {
            shared,
            start: Instant::now(),
            told: Told {
                time: unix_seconds(),
                method: request.method().to_string(),
                path: request.uri().path().chars().take(MOST_PATH).collect(),
                status: 0,
                ms: 0.0,
                bytes: 0,
                reason: Some("client_gone"),
            },
        }
    }

    fn answered(&mut self, response: &Response) {
        self.told.status = response.status().as_u16();
        // An upgraded connection has no body to watch; it tells its own end.
        self.told.reason = match response.status() {
            StatusCode::SWITCHING_PROTOCOLS => None,
            _ => self.told.reason,
        };
        if let Some(reason) = response.extensions().get::<Reason>() {
            self.shared.metrics.refused(*reason);
            self.told.reason = Some(reason.code());
        }
    }

    /// The body has been sent whole.
    fn sent(&mut self) {
        if self.told.reason == Some("client_gone") {
            self.told.reason = None;
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if QUIET.contains(&&*self.told.path) && self.told.reason.is_none() {
            return;
        }
        self.told.ms = tenths(self.start.elapsed().as_secs_f64() * 1000.0);
        say(self.told.written(self.shared.settings.log));
    }
}

impl Told {
    fn written(&self, format: Format) -> String {
        match format {
            Format::Json => serde_json::to_string(self).unwrap_or_default(),
            Format::Text => format!(
                "time={:.3} method={} path={} status={} ms={} bytes={} reason={}",
                self.time,
                self.method,
                self.path,
                self.status,
                self.ms,
                self.bytes,
                self.reason.unwrap_or("-")
            ),
        }
    }
}

/// A body that is told when it ends.
struct Watched {
    body: Body,
    line: Line,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        match &frame {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                self.line.told.bytes += bytes as u64;
            }
            Poll::Ready(None) => self.line.sent(),
            _ => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if self.body.is_end_stream() {
            self.line.sent();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_for_people_or_for_programs() {
        let told = Told {
            time: 1.5,
            method: "GET".into(),
            path: "/x".into(),
            status: 404,
            ms: 0.2,
            bytes: 9,
            reason: Some("not_found"),
        };
        assert_eq!(
            told.written(Format::Text),
            "time=1.500 method=GET path=/x status=404 ms=0.2 bytes=9 reason=not_found"
        );
        let json = told.written(Format::Json);
        let json: serde_json::Value = serde_json::from_str(&json).expect("an object");
        assert_eq!(json["status"], 404);
        assert_eq!(json["reason"], "not_found");
    }
}
