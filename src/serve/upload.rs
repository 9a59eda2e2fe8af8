//! A request's body, read whole: no larger than allowed and no slower.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_LENGTH, EXPECT};
use axum::http::request::Parts;
use http_body::Body as HttpBody;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;

use super::refusal::{Reason, Refusal};
use super::shape::Shape;
use super::shared::Shared;

/// A body that is too large is read and forgotten up to so many times what is allowed: a client that
/// is closed while it sends does not see why.
const MOST_FORGOTTEN: usize = 8;

/// A request's head and its whole body.
pub struct Upload {
    /// The head.
    pub parts: Parts,
    /// The body.
    pub body: Vec<u8>,
}

impl Upload {
    /// The body as JSON of this shape, whatever the request calls it.
    pub fn json<T: DeserializeOwned>(&self, shape: &Shape) -> Result<T, Refusal> {
        let body: Value = serde_json::from_slice(&self.body).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let sentence = format!("the body is no JSON: line {line}, column {column}");
            Refusal::new(Reason::BadRequest, sentence)
        })?;
        shape.check("", &body)?;
        serde_json::from_value(body)
            .map_err(|_| Refusal::new(Reason::BadRequest, "the body cannot be read"))
    }
}

impl FromRequest<Arc<Shared>> for Upload {
    type Rejection = Refusal;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Upload, Refusal> {
        // A server that could not answer says so before it reads.
        shared.ready()?;
        let _place = shared.upload()?;
        let (parts, body) = request.into_parts();
        let limits = &shared.settings.limits;
        let announced = parts.headers.get(CONTENT_LENGTH);
        let announced = announced.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        let too_large = announced.is_some_and(|length| length > limits.body);
        if too_large && parts.headers.contains_key(EXPECT) {
            return Err(self::too_large(limits.body));
        }
        let mut stopping = shared.stopping();
        tokio::select! {
            body = timeout(limits.idle, read(body, limits.body)) => match body {
                Ok(body) => Ok(Upload { parts, body: body? }),
                Err(_) => {
                    let seconds = limits.idle.as_secs();
                    let sentence = format!("the body did not arrive within {seconds} s");
                    Err(Refusal::new(Reason::TooSlow, sentence))
                }
            },
            // What is still being sent would not be answered.
            _ = stopping.wait_for(|stopping| *stopping) => Err(shared.draining()),
        }
    }
}

async fn read(mut body: Body, most: usize) -> Result<Vec<u8>, Refusal> {
    let mut read = Vec::new();
    let mut length = 0;
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(|_| broken_off())?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        length += data.len();
        if length <= most {
            read.extend_from_slice(&data);
        } else if length > most.saturating_mul(MOST_FORGOTTEN) {
            break;
        } else {
            read = Vec::new();
        }
    }
    match length <= most {
        true => Ok(read),
        false => Err(too_large(most)),
    }
}

fn too_large(most: usize) -> Refusal {
    let sentence = format!("the body is larger than {} MiB", most >> 20);
    Refusal::new(Reason::TooLarge, sentence)
}

fn broken_off() -> Refusal {
    Refusal::new(Reason::BadRequest, "the body ended before it was whole")
}
