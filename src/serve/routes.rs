//! Which address does what.

use std::sync::Arc;

use axum::Router;
use axum::http::{Method, Uri};
use axum::routing::get;

use super::refusal::{Reason, Refusal};
use super::shared::Shared;
use super::{health, page, realtime};

/// All routes.
pub fn routes(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .merge(realtime::routes())
        .merge(page::routes())
        .fallback(no_such_address)
        .method_not_allowed_fallback(no_such_method)
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
