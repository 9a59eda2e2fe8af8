//! `POST /v1/audio/transcriptions`: what was said in a recording.

mod format;
mod pieces;
mod request;

use std::ops::Range;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use mini_omni::audio::Limit;
use mini_omni::{Event, Options, Pcm, Question, Task};
use serde_json::json;

use super::SharedState;
use super::answering::Answering;
use super::counts;
use super::pieces::{Gone, Pieces, written};
use super::refusal::{Reason, Refusal};
use super::sampling::Sampling;
use super::shared::{Place, Shared};
use super::sound;
use super::upload::Upload;
use format::{Segment, Transcript};
use request::Form;

/// A recording on its way to words.
struct Transcribing {
    shared: Arc<Shared>,
    place: Arc<Place>,
    pcm: Pcm,
    options: Options,
    transcript: Transcript,
}

/// `POST /v1/audio/transcriptions`.
pub async fn transcriptions(
    State(shared): SharedState,
    upload: Upload,
) -> Result<Response, Refusal> {
    let form = Form::read(upload, &shared).await?;
    let place = Arc::new(shared.admit()?);
    let limit = Limit::AtMost(shared.settings.limits.recording);
    let pcm = sound::read(form.file, limit, "file").await?;
    let sampling = Sampling::warm(form.temperature);
    let mut transcribing = Transcribing {
        options: sampling.options(Task::A1T1, &shared.settings)?,
        transcript: Transcript {
            duration: pcm.seconds(),
            segments: Vec::new(),
            temperature: form.temperature,
            tokens: (0, 0),
        },
        pcm,
        place,
        shared,
    };
    if form.stream {
        let headers = [
            (CONTENT_TYPE, "text/event-stream"),
            (CACHE_CONTROL, "no-cache"),
        ];
        let body = written(|pieces| transcribing.stream(pieces));
        return Ok((headers, body).into_response());
    }
    transcribing.run(None).await.map_err(Stopped::refusal)?;
    Ok(transcribing.transcript.response(form.format))
}

/// Why a transcription did not come to its end.
enum Stopped {
    Refused(Refusal),
    Gone,
}

impl Stopped {
    fn refusal(self) -> Refusal {
        match self {
            Stopped::Refused(refusal) => refusal,
            Stopped::Gone => Refusal::new(Reason::Failed, "the reader has gone"),
        }
    }
}

impl From<Gone> for Stopped {
    fn from(_: Gone) -> Stopped {
        Stopped::Gone
    }
}

impl From<Refusal> for Stopped {
    fn from(refusal: Refusal) -> Stopped {
        Stopped::Refused(refusal)
    }
}

impl Transcribing {
    /// Piece for piece; a piece without speech adds nothing.
    async fn run(&mut self, reader: Option<&Pieces>) -> Result<(), Stopped> {
        let rate = self.pcm.sample_rate();
        let hears = self.place.model.hears();
        for span in pieces::cut(self.pcm.samples(), rate, hears) {
            let answering = match self.ask(span.clone()).await {
                Ok(answering) => answering,
                Err(refusal) if refusal.reason == Reason::NoSpeech => continue,
                Err(refusal) => return Err(refusal.into()),
            };
            let (text, tokens) = self.hear(answering, reader).await?;
            let at = |sample: usize| sample as f64 / f64::from(rate);
            self.transcript.segments.push(Segment {
                start: at(span.start),
                end: at(span.end),
                text,
                tokens,
            });
        }
        Ok(())
    }

    async fn ask(&self, span: Range<usize>) -> Result<Answering, Refusal> {
        let samples = self.pcm.samples()[span].to_vec();
        let piece = Pcm::new(samples, self.pcm.sample_rate()).map_err(mini_omni::Error::from)?;
        let (place, options) = (self.place.clone(), self.options.clone());
        Answering::begin(&self.shared, place, Question::Audio(piece), options).await
    }

    /// The words of one piece, and their ids.
    async fn hear(
        &mut self,
        mut answering: Answering,
        reader: Option<&Pieces>,
    ) -> Result<(String, Vec<i64>), Stopped> {
        let mut text = String::new();
        while let Some(event) = answering.next().await {
            let Event::Text(words) = event else {
                continue;
            };
            if let Some(reader) = reader {
                let new_piece = text.is_empty() && !self.transcript.segments.is_empty();
                let space = if new_piece { " " } else { "" };
                let delta = format!("{space}{words}");
                reader
                    .event(&json!({"type": "transcript.text.delta", "delta": delta}))
                    .await?;
            }
            text += &words;
        }
        let mut trace = answering.finish()?;
        self.transcript.tokens.0 += trace.prompt_length;
        self.transcript.tokens.1 += counts::answer(&trace)[0];
        Ok((text, trace.tokens.pop().unwrap_or_default()))
    }

    async fn stream(mut self, reader: Pieces) -> Result<(), Gone> {
        match self.run(Some(&reader)).await {
            Ok(()) => {
                let (text, usage) = (self.transcript.text(), self.transcript.usage());
                let done = json!({"type": "transcript.text.done", "text": text, "usage": usage});
                reader.event(&done).await
            }
            Err(Stopped::Gone) => Err(Gone),
            Err(Stopped::Refused(refusal)) => reader.event(&refusal.json()).await,
        }
    }
}
