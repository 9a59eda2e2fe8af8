//! Which address does what.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, Uri};
use axum::middleware::from_fn_with_state;
use axum::routing::{any, get, post};

use super::refusal::{Reason, Refusal};
use super::shared::Shared;
use super::{access, chat, health, log, metrics, models, original, page, realtime, transcriptions};

/// All routes.
pub fn routes(shared: Arc<Shared>) -> Router {
    let guarded = Router::new()
        .route("/v1/chat/completions", post(chat::completions))
        .route(
            "/v1/audio/transcriptions",
            post(transcriptions::transcriptions),
        )
        .route("/v1/models", get(models::list))
        .route("/v1/models/{name}", get(models::retrieve))
        .route("/chat", post(original::chat))
        .route("/metrics", get(metrics::metrics))
        .merge(realtime::routes())
        .route("/v1/{*rest}", any(models::cannot))
        .route_layer(from_fn_with_state(shared.clone(), access::check_token));
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .merge(guarded)
        .merge(page::routes())
        .fallback(no_such_address)
        .method_not_allowed_fallback(no_such_method)
        // Bodies are bounded where they are read.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(shared.clone(), access::check_page))
        .layer(from_fn_with_state(shared.clone(), log::tell))
        .with_state(shared)
}

async fn no_such_address(uri: Uri) -> Refusal {
    let sentence = format!("there is nothing at {}", uri.path());
    Refusal::new(Reason::NotFound, sentence)
}

async fn no_such_method(method: Method, uri: Uri) -> Refusal {
    let sentence = format!("{} takes another method than {method}", uri.path());
    Refusal::new(Reason::Method, sentence)
}
