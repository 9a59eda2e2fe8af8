//! `GET /v1/realtime`: OpenAI's Realtime protocol over a WebSocket, in its general names.
//!
//! ```text
//! socket ─client─▶ worker ─▶ Session ─▶ dialogue ─server─▶ outgoing ─▶ socket
//! ```
//!
//! A thin translation: the [`Session`](mini_omni::session::Session) knows how a conversation goes,
//! the `dialogue` how a client sees it. Each conversation has a thread that owns its session; the
//! socket is served beside it. `docs/protocol.md` says what is supported.

mod beside;
mod client;
mod config;
mod dialogue;
mod ending;
mod g711;
mod items;
mod outgoing;
mod response;
mod server;
mod shapes;
mod socket;
mod sound;
mod worker;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::get;

use super::refusal::Refusal;
use super::shared::Shared;
use ending::Ending;

/// The subprotocol that browsers name beside their token.
const PROTOCOL: &str = "realtime";

/// The routes of the protocol. A model is named in the address, as `?model=`, and there is one.
pub fn routes() -> Router<Arc<Shared>> {
    Router::new().route("/v1/realtime", get(upgrade))
}

async fn upgrade(
    State(shared): State<Arc<Shared>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    let upgrade = upgrade.map_err(|refused| {
        let sentence = format!("this address is a WebSocket's: {refused}");
        Refusal::bad("upgrade", sentence)
    })?;
    let upgraded = upgrade
        .protocols([PROTOCOL])
        .max_message_size(socket::MOST_BYTES)
        .max_frame_size(socket::MOST_BYTES)
        .on_upgrade(|socket| converse(socket, shared));
    Ok(upgraded)
}

/// Lets a conversation in, or says why not: at once, as an event, since browsers hide all else.
async fn converse(socket: WebSocket, shared: Arc<Shared>) {
    match shared.admit() {
        Ok(place) => {
            socket::converse(socket, shared.clone(), place.model.clone()).await;
            drop(place);
        }
        Err(refusal) => {
            shared.metrics.refused(refusal.reason);
            socket::refuse(socket, Ending::Refused(refusal)).await;
        }
    }
}
