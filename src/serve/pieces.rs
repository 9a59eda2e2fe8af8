//! A body that is sent while it is made.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use futures_core::Stream;
use serde::Serialize;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Pieces that wait for a reader. What the reader has not taken yet makes the writer wait.
const WAITING: usize = 16;

/// Where a body is written.
pub struct Pieces(Sender<io::Result<Bytes>>);

/// The reader has gone.
#[derive(Debug)]
pub struct Gone;

struct Reader(Receiver<io::Result<Bytes>>);

impl Stream for Reader {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

/// A body that `write` writes. When the reader goes, `write` is dropped where it waits, and with it
/// the answer that it holds.
pub fn written<F>(write: impl FnOnce(Pieces) -> F) -> Body
where
    F: Future<Output = Result<(), Gone>> + Send + 'static,
{
    let (sender, receiver) = channel(WAITING);
    let gone = sender.clone();
    let writing = write(Pieces(sender));
    tokio::spawn(async move {
        tokio::select! {
            () = gone.closed() => {}
            _ = writing => {}
        }
    });
    Body::from_stream(Reader(receiver))
}

impl Pieces {
    /// Sends bytes.
    pub async fn send(&self, bytes: impl Into<Bytes>) -> Result<(), Gone> {
        self.0.send(Ok(bytes.into())).await.map_err(|_| Gone)
    }

    /// Sends a server-sent event.
    pub async fn event(&self, event: &impl Serialize) -> Result<(), Gone> {
        let json = serde_json::to_string(event).map_err(|_| Gone)?;
        self.send(format!("data: {json}\n\n")).await
    }

    /// Breaks the body off, so that its reader sees that it is not whole.
    pub async fn break_off(&self, why: String) -> Result<(), Gone> {
        let error = io::Error::other(why);
        self.0.send(Err(error)).await.map_err(|_| Gone)
    }
}
