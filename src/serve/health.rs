//! `/healthz` and `/readyz`: for programs that start, stop and balance servers.

use std::sync::Arc;

use axum::extract::State;

use super::refusal::Refusal;
use super::shared::Shared;

/// The process runs.
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// A new conversation would be taken; else why not.
pub async fn readyz(State(shared): State<Arc<Shared>>) -> Result<&'static str, Refusal> {
    shared.ready().map(|()| "ready\n")
}
