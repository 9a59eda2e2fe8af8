//! `POST /chat`: the protocol of the original Mini-Omni's server, which its gradio and streamlit
//! clients speak.
//!
//! A wav in base64 goes in. 16-bit little-endian mono samples at 24 kHz come out while they are made,
//! without a header. The original called them `audio/wav`; its clients never look, so here they are
//! called what they are.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use mini_omni::audio::Limit;
use mini_omni::{Event, Options, Question, Task};
use serde::Deserialize;

use super::SharedState;
use super::answering::Answering;
use super::pieces::{Gone, Pieces, written};
use super::refusal::Refusal;
use super::sampling::steps;
use super::shape::{Shape, needed, optional};
use super::sound::{from_base64, pcm16, read};
use super::upload::Upload;

/// `stream_stride`, steps between two pieces, is not read: a piece leaves when it exists.
#[derive(Deserialize)]
struct Chat {
    audio: String,
    max_tokens: Option<i64>,
}

const CHAT: Shape = Shape::Open(&[
    needed("audio", Shape::Text),
    optional("max_tokens", Shape::Whole),
]);

/// `POST /chat`.
pub async fn chat(State(shared): SharedState, upload: Upload) -> Result<Response, Refusal> {
    let chat: Chat = upload.json(&CHAT)?;
    let most = steps("max_tokens", chat.max_tokens)?;
    let bytes = from_base64(&chat.audio, "audio")?;
    let place = Arc::new(shared.admit()?);
    let hears = place.model.hears();
    let question = Question::Audio(read(bytes, Limit::AtMost(hears), "audio").await?);
    let mut options = Options::for_task(Task::A1A2_BATCH);
    options.window = shared.settings.window;
    options.max_steps = most;
    let answering = Answering::begin(&shared, place, question, options).await?;
    let rate = answering.sample_rate();
    let kind = HeaderValue::from_str(&format!("audio/pcm; rate={rate}; channels=1"));
    let mut response = written(|pieces| say(answering, pieces)).into_response();
    if let Ok(kind) = kind {
        response.headers_mut().insert(CONTENT_TYPE, kind);
    }
    Ok(response)
}

async fn say(mut answering: Answering, pieces: Pieces) -> Result<(), Gone> {
    while let Some(event) = answering.next().await {
        if let Event::Audio(samples) = event {
            pieces.send(pcm16(&samples)).await?;
        }
    }
    match answering.finish() {
        Ok(_) => Ok(()),
        Err(refusal) => pieces.break_off(refusal.sentence).await,
    }
}
