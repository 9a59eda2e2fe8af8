//! `POST /v1/chat/completions`: a question and its answer, as OpenAI's clients ask.

mod request;
mod usage;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use mini_omni::{Event, Task};
use serde_json::{Value, json};

use super::SharedState;
use super::answering::{Answering, Whole};
use super::ids::{id, unix_time};
use super::pieces::{Gone, Pieces, written};
use super::refusal::Refusal;
use super::sound::{base64, pcm16, wav};
use super::upload::Upload;
use request::{COMPLETION, Completion, SoundFormat};
use usage::{finish_reason, usage};

/// What all objects of an answer have in common.
struct Head {
    id: String,
    audio_id: String,
    created: u64,
    model: String,
    sound: Option<SoundFormat>,
    tells_usage: bool,
}

/// `POST /v1/chat/completions`.
pub async fn completions(State(shared): SharedState, upload: Upload) -> Result<Response, Refusal> {
    let completion: Completion = upload.json(&COMPLETION)?;
    completion.check()?;
    let sound = completion.sound()?;
    let place = Arc::new(shared.admit()?);
    let question = completion.question(place.model.hears()).await?;
    let head = Head {
        id: id("chatcmpl-"),
        audio_id: id("audio_"),
        created: unix_time(),
        model: shared.settings.model.clone(),
        sound,
        tells_usage: completion.tells_usage(),
    };
    let task = Task::answering(question.source(), sound.is_some(), true);
    let options = completion.sampling.options(task, &shared.settings)?;
    let answering = Answering::begin(&shared, place, question, options).await?;
    if completion.is_streamed() {
        let headers = [
            (CONTENT_TYPE, "text/event-stream"),
            (CACHE_CONTROL, "no-cache"),
        ];
        let body = written(|pieces| stream(head, answering, pieces));
        return Ok((headers, body).into_response());
    }
    let rate = answering.sample_rate();
    let whole = answering.whole().await?;
    Ok(Json(head.completion(&whole, rate)?).into_response())
}

impl Head {
    /// The whole answer in one object.
    fn completion(&self, whole: &Whole, sample_rate: u32) -> Result<Value, Refusal> {
        let mut message = json!({"role": "assistant", "content": whole.text, "refusal": null});
        if let Some(format) = self.sound {
            let bytes = match format {
                SoundFormat::Wav => &wav(&whole.pcm, sample_rate)?,
                SoundFormat::Pcm16 => &whole.pcm,
            };
            message["content"] = Value::Null;
            message["audio"] = json!({
                "id": self.audio_id,
                "data": base64(bytes),
                "transcript": whole.text,
                "expires_at": self.created,
            });
        }
        Ok(json!({
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "choices": [{
                "index": 0,
                "message": message,
                "logprobs": null,
                "finish_reason": finish_reason(&whole.trace),
            }],
            "usage": usage(&whole.trace),
        }))
    }

    /// A piece of a streamed answer.
    fn chunk(&self, choices: Value) -> Value {
        json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "choices": choices,
        })
    }

    fn delta(&self, delta: Value) -> Value {
        self.chunk(json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": null}]))
    }

    /// What an event adds to the answer.
    fn piece(&self, event: Event) -> Option<Value> {
        match (event, self.sound) {
            (Event::Text(text), None) => Some(json!({"content": text})),
            (Event::Text(text), Some(_)) => {
                Some(json!({"audio": {"id": self.audio_id, "transcript": text}}))
            }
            (Event::Audio(samples), Some(_)) => {
                let data = base64(&pcm16(&samples));
                Some(json!({"audio": {"id": self.audio_id, "data": data}}))
            }
            _ => None,
        }
    }
}

async fn stream(head: Head, mut answering: Answering, pieces: Pieces) -> Result<(), Gone> {
    let opening = json!({"role": "assistant", "content": "", "refusal": null});
    pieces.event(&head.delta(opening)).await?;
    while let Some(event) = answering.next().await {
        if let Some(delta) = head.piece(event) {
            pieces.event(&head.delta(delta)).await?;
        }
    }
    let trace = match answering.finish() {
        Ok(trace) => trace,
        // Too late for a status; clients know the object.
        Err(refusal) => return pieces.event(&refusal.json()).await,
    };
    if head.sound.is_some() {
        // The sound is not kept, so it cannot be asked for by its id.
        let end = json!({"audio": {"id": head.audio_id, "expires_at": head.created}});
        pieces.event(&head.delta(end)).await?;
    }
    let reason = finish_reason(&trace);
    let end = json!([{"index": 0, "delta": {}, "logprobs": null, "finish_reason": reason}]);
    pieces.event(&head.chunk(end)).await?;
    if head.tells_usage {
        let mut last = head.chunk(json!([]));
        last["usage"] = usage(&trace);
        pieces.event(&last).await?;
    }
    pieces.send("data: [DONE]\n\n").await
}
