//! Connections in, until the sign to stop; then running answers end.

use std::future::Future;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::connection::serve;
use super::routes::routes;
use super::shared::Shared;

/// Serves on `listener` until `shutdown`; returns once what ran has ended, or has had its time.
pub async fn run(
    listener: TcpListener,
    shared: Arc<Shared>,
    shutdown: impl Future<Output = ()> + Send,
) {
    let routes = routes(shared.clone());
    let (close, closing) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut drained = std::pin::pin!(drain(&shared, shutdown));
    loop {
        tokio::select! {
            () = &mut drained => break,
            Ok((socket, _)) = listener.accept() => {
                connections.spawn(serve(socket, routes.clone(), shared.clone(), closing.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
    close.send_replace(true);
    let _ = timeout(LAST_WORDS, async {
        while connections.join_next().await.is_some() {}
    })
    .await;
}

/// How long a client may take to read what was written, once the server has stopped.
const LAST_WORDS: std::time::Duration = std::time::Duration::from_secs(1);
/// How often it is looked whether all have ended.
const LOOK: std::time::Duration = std::time::Duration::from_millis(20);

/// Waits for the sign, then for the conversations under way, as long as they may take. Meanwhile
/// connections are still accepted, so that whoever balances servers sees that this one is not ready.
async fn drain(shared: &Shared, shutdown: impl Future<Output = ()>) {
    shutdown.await;
    shared.stop();
    let all = async {
        while shared.conversations() > 0 {
            sleep(LOOK).await;
        }
    };
    let _ = timeout(shared.settings.limits.drain, all).await;
}
