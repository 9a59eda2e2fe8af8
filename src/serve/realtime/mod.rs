//! `/v1/realtime`: OpenAI's Realtime protocol over a WebSocket.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;

use super::shared::Shared;

/// The routes of the protocol.
pub fn routes() -> Router<Arc<Shared>> {
    Router::new().route(
        "/v1/realtime",
        get(|| async { StatusCode::NOT_IMPLEMENTED }),
    )
}
