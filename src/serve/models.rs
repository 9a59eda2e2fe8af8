//! `GET /v1/models`: the one model there is, and what others are asked for.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use serde_json::{Value, json};

use super::SharedState;
use super::refusal::{Reason, Refusal};
use super::settings::Settings;

/// All models.
pub async fn list(State(shared): SharedState) -> Json<Value> {
    Json(json!({"object": "list", "data": [model(&shared.settings)]}))
}

/// One model.
pub async fn retrieve(
    State(shared): SharedState,
    Path(name): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let own = &shared.settings.model;
    if name == *own {
        return Ok(Json(model(&shared.settings)));
    }
    let sentence = format!("there is no model of this name; this server has {own}");
    Err(Refusal::new(Reason::NotFound, sentence).of("model"))
}

fn model(settings: &Settings) -> Value {
    json!({"id": settings.model, "object": "model", "created": 0, "owned_by": "mini-omni"})
}

/// Addresses of OpenAI's that a Mini-Omni has no answer for.
pub async fn cannot(uri: Uri) -> Refusal {
    let sentence = match uri.path() {
        "/v1/audio/speech" => {
            "a Mini-Omni answers questions; it cannot read a given text aloud. \
             /v1/chat/completions with modalities [\"text\", \"audio\"] gives a spoken answer"
        }
        "/v1/audio/translations" => {
            "a Mini-Omni transcribes in the language spoken; it cannot translate. \
             /v1/audio/transcriptions transcribes"
        }
        _ => {
            "a Mini-Omni has no such ability; it answers questions at /v1/chat/completions and \
             /v1/realtime, and transcribes at /v1/audio/transcriptions"
        }
    };
    Refusal::new(Reason::Unsupported, sentence)
}
