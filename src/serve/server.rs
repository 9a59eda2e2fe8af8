//! Connections in, until the sign to stop; then running answers end.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::connection::serve;
use super::routes::routes;
use super::shared::Shared;

/// How long a client may take to greet.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a client may take to read what was written, once all conversations have ended.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How often it is looked whether all have ended, and whether there is room for a connection again.
const LOOK: Duration = Duration::from_millis(20);
/// Connections at once.
const MOST_CONNECTIONS: usize = 1024;

/// Serves on `listener` until `shutdown`; returns once what ran has ended, or has had its time.
pub async fn run(
    listener: TcpListener,
    shared: Arc<Shared>,
    shutdown: impl Future<Output = ()> + Send,
) {
    let server = Server {
        routes: routes(shared.clone()),
        shared: shared.clone(),
        closing: watch::channel(false).0,
    };
    let mut connections = JoinSet::new();
    let mut drained = std::pin::pin!(drain(&shared, shutdown));
    loop {
        tokio::select! {
            () = &mut drained => break,
            socket = accept(&listener, connections.len()) => {
                connections.spawn(server.clone().connect(socket));
            }
            Some(_) = connections.join_next() => {}
        }
    }
    // A client that comes now is refused by the system, and does not wait for nothing.
    drop(listener);
    server.closing.send_replace(true);
    let ended = async { while connections.join_next().await.is_some() {} };
    let _ = timeout(LAST_WORDS, ended).await;
}

/// The next client. One that comes while there is no room, or no file for its socket, waits.
async fn accept(listener: &TcpListener, connections: usize) -> TcpStream {
    loop {
        if connections < MOST_CONNECTIONS
            && let Ok((socket, _)) = listener.accept().await
        {
            return socket;
        }
        sleep(LOOK).await;
    }
}

/// Waits for the sign, then for the conversations under way, as long as they may take. Meanwhile
/// connections are still accepted, so that a load balancer sees that this one is not ready.
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

#[derive(Clone)]
struct Server {
    routes: Router,
    shared: Arc<Shared>,
    /// Told when no further request is taken.
    closing: watch::Sender<bool>,
}

impl Server {
    async fn connect(self, socket: TcpStream) {
        // Sound comes in small pieces, which must not wait for each other.
        let _ = socket.set_nodelay(true);
        let closing = self.closing.subscribe();
        let Some(tls) = &self.shared.settings.tls else {
            return serve(socket, self.routes, self.shared, closing).await;
        };
        if let Ok(Ok(socket)) = timeout(HANDSHAKE, tls.accept(socket)).await {
            serve(socket, self.routes, self.shared, closing).await;
        }
    }
}
