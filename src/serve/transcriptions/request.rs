//! What a transcription asks: a form with a file.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, Multipart, Request};

use super::format::Format;
use crate::serve::refusal::Refusal;
use crate::serve::shape::clipped;
use crate::serve::shared::Shared;
use crate::serve::upload::Upload;

/// The fields of a form. Those not named here (`model`, `language`, `prompt`) are not read.
pub struct Form {
    /// The recording, of any format.
    pub file: Vec<u8>,
    /// How it is written.
    pub format: Format,
    /// Whether words are sent as they are found.
    pub stream: bool,
    /// 0 where not given.
    pub temperature: f64,
}

impl Form {
    /// Reads the form out of a body.
    pub async fn read(upload: Upload, shared: &Arc<Shared>) -> Result<Form, Refusal> {
        let request = Request::from_parts(upload.parts, Body::from(upload.body));
        let mut fields = Multipart::from_request(request, shared)
            .await
            .map_err(|error| Refusal::bad("body", format!("a form is expected: {error}")))?;
        let mut file = None;
        let (mut format, mut stream, mut temperature) = (Format::Json, false, 0.0);
        while let Some(field) = fields.next_field().await.map_err(damaged)? {
            match field.name().unwrap_or_default() {
                "file" => file = Some(field.bytes().await.map_err(damaged)?.to_vec()),
                "response_format" => format = Format::named(&field.text().await.map_err(damaged)?)?,
                "stream" => stream = truth("stream", &field.text().await.map_err(damaged)?)?,
                "temperature" => {
                    let text = field.text().await.map_err(damaged)?;
                    let error = || Refusal::bad("temperature", "temperature is a number");
                    temperature = text.trim().parse().map_err(|_| error())?;
                }
                "timestamp_granularities[]" => {
                    check_granularity(&field.text().await.map_err(damaged)?)?
                }
                _ => {}
            }
        }
        let file = file.ok_or_else(|| Refusal::bad("file", "the form has no field named file"))?;
        if stream && format != Format::Json {
            let sentence = "a transcription that is streamed is json; leave response_format away";
            return Err(Refusal::unsupported("response_format", sentence));
        }
        Ok(Form {
            file,
            format,
            stream,
            temperature,
        })
    }
}

/// A form's true or false.
fn truth(param: &'static str, text: &str) -> Result<bool, Refusal> {
    match text.trim().to_lowercase().as_str() {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        other => {
            let sentence = format!("{param} is \"{}\", not true or false", clipped(other));
            Err(Refusal::bad(param, sentence))
        }
    }
}

fn check_granularity(asked: &str) -> Result<(), Refusal> {
    let param = "timestamp_granularities";
    match asked {
        "segment" => Ok(()),
        "word" => {
            let sentence = "a Mini-Omni does not know where a word is; ask for segments";
            Err(Refusal::unsupported(param, sentence))
        }
        other => {
            let sentence = format!("{param} is \"{}\", not \"segment\"", clipped(other));
            Err(Refusal::bad(param, sentence))
        }
    }
}

fn damaged(error: axum::extract::multipart::MultipartError) -> Refusal {
    Refusal::bad("body", format!("the form cannot be read: {error}"))
}
