//! A socket that gives up on a reader who takes nothing.
//!
//! What is written for a client waits in bounded buffers behind it, so a client that stops reading
//! would hold its connection, and its answer, for ever.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A socket whose writes fail once nothing was taken for as long as `patience`.
pub struct Patient<S> {
    socket: S,
    patience: Duration,
    /// Runs while something waits to be taken.
    waiting: Option<Pin<Box<Sleep>>>,
    /// Told once, when it gives up.
    gave_up: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl<S> Patient<S> {
    /// Waits so long for a reader; `gave_up` is called at the end of it.
    pub fn new(socket: S, patience: Duration, gave_up: impl Fn() + Send + Sync + 'static) -> Self {
        let gave_up: Arc<dyn Fn() + Send + Sync> = Arc::new(gave_up);
        Patient {
            socket,
            patience,
            waiting: None,
            gave_up: Some(gave_up),
        }
    }

    /// What the socket said, unless it has said nothing for too long.
    fn unless_too_long<T>(
        &mut self,
        said: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if said.is_ready() {
            self.waiting = None;
            return said;
        }
        let patience = self.patience;
        let waiting = self
            .waiting
            .get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(waiting.as_mut().poll(context));
        if let Some(gave_up) = self.gave_up.take() {
            gave_up();
        }
        let sentence = "the client takes nothing of what is written for it";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, sentence)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let said = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.unless_too_long(said, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let said = Pin::new(&mut self.socket).poll_flush(context);
        self.unless_too_long(said, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let said = Pin::new(&mut self.socket).poll_shutdown(context);
        self.unless_too_long(said, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let said = Pin::new(&mut self.socket).poll_write_vectored(context, pieces);
        self.unless_too_long(said, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn a_reader_who_takes_nothing_is_given_up() {
        let (near, _far) = duplex(8);
        let given_up = Arc::new(AtomicUsize::new(0));
        let count = given_up.clone();
        let patience = Duration::from_millis(20);
        let mut near = Patient::new(near, patience, move || {
            count.fetch_add(1, Relaxed);
        });
        let error = near.write_all(&[0; 9]).await.expect_err("too slow");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        // What is said at the end is not taken, either.
        near.write_all(&[0]).await.expect_err("still too slow");
        assert_eq!(given_up.load(Relaxed), 1);
    }

    #[tokio::test]
    async fn a_reader_who_takes_a_little_now_and_then_is_waited_for() {
        let (near, mut far) = duplex(8);
        let mut near = Patient::new(near, Duration::from_secs(60), || panic!("given up"));
        let read = tokio::spawn(async move {
            let mut taken = [0; 4];
            for _ in 0..10 {
                tokio::task::yield_now().await;
                far.read_exact(&mut taken).await.expect("bytes");
            }
        });
        near.write_all(&[0; 40]).await.expect("all taken");
        assert!(near.waiting.is_none(), "what was taken stops the clock");
        read.await.expect("all read");
    }
}
