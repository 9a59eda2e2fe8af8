//! One connection: HTTP/1.1, with limits on how long a client may dawdle.

use std::sync::Arc;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use super::patience::Patient;
use super::shared::Shared;

/// Serves one client until it leaves, dawdles, or `closing` tells that no further request is taken.
pub async fn serve(
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    routes: Router,
    shared: Arc<Shared>,
    mut closing: watch::Receiver<bool>,
) {
    let idle = shared.settings.limits.idle;
    let socket = Patient::new(socket, idle, move || shared.metrics.slow_reader());
    let service = TowerToHyperService::new(routes);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(idle)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = closing.wait_for(|closing| *closing) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
