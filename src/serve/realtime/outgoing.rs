//! What waits to be sent to a client, bounded: one that does not read is cut off.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::ending::Ending;
use super::server::{Numbered, ServerEvent};
use crate::serve::ids::id;

/// Bytes that may wait: two minutes of an answer's sound.
const MOST_BYTES: usize = 8 << 20;

/// A message, or the end.
type Item = Result<String, Ending>;

/// The conversation's end.
#[derive(Clone)]
pub struct Outgoing {
    messages: UnboundedSender<Item>,
    waiting: Arc<AtomicUsize>,
}

/// The socket's end.
pub struct Messages {
    messages: UnboundedReceiver<Item>,
    waiting: Arc<AtomicUsize>,
}

/// Both ends.
pub fn outgoing() -> (Outgoing, Messages) {
    let (sender, messages) = unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let outgoing = Outgoing {
        messages: sender,
        waiting: waiting.clone(),
    };
    (outgoing, Messages { messages, waiting })
}

/// An event as a message. It is made of strings and numbers alone, so it can always be written.
pub fn message(event: &ServerEvent) -> String {
    let event_id = id("event_");
    serde_json::to_string(&Numbered { event_id, event }).unwrap_or_default()
}

impl Outgoing {
    /// Sends an event, without waiting; why not, if the client is gone or takes nothing.
    pub fn send(&self, event: &ServerEvent) -> Result<(), Ending> {
        let message = message(event);
        let length = message.len();
        if self.waiting.fetch_add(length, Ordering::AcqRel) + length > MOST_BYTES {
            return Err(Ending::TooSlow);
        }
        self.messages.send(Ok(message)).map_err(|_| Ending::Gone)
    }

    /// Says that the conversation is over.
    pub fn end(&self, ending: Ending) {
        // A socket that is gone knows.
        let _ = self.messages.send(Err(ending));
    }
}

impl Messages {
    /// The next message, or the end.
    pub async fn next(&mut self) -> Item {
        let died = || Err(Ending::Failed("the conversation's thread has died".into()));
        self.messages.recv().await.unwrap_or_else(died)
    }

    /// So many bytes were sent.
    pub fn sent(&self, length: usize) {
        self.waiting.fetch_sub(length, Ordering::AcqRel);
    }
}
