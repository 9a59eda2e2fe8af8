//! Two ends of one answer: whoever writes it holds a [`Reply`], whoever asked a [`Conversation`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

use crate::error::{Error, Result};
use crate::omni::Event;
use crate::trace::Trace;

enum Message {
    Event(Event),
    End(Result<Box<Trace>>),
}

/// A place among the conversations a scheduler holds at once; free again when dropped.
#[derive(Debug)]
pub struct Place {
    taken: Arc<AtomicUsize>,
    held: AtomicBool,
}

impl Place {
    /// One of `places`, of which `taken` are; `None` if none is free.
    pub fn take(taken: &Arc<AtomicUsize>, places: usize) -> Option<Place> {
        let one_more = |n| (n < places).then_some(n + 1);
        taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more)
            .ok()?;
        Some(Place {
            taken: taken.clone(),
            held: AtomicBool::new(true),
        })
    }

    fn leave(&self) {
        if self.held.swap(false, Ordering::AcqRel) {
            self.taken.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The end that writes. Clones belong to the same answer.
#[derive(Clone)]
pub struct Reply {
    messages: Sender<Message>,
    cancelled: Arc<AtomicBool>,
    place: Option<Arc<Place>>,
}

impl Reply {
    /// Both ends of a new answer.
    pub fn new(place: Option<Place>) -> (Reply, Conversation) {
        let (messages, inbox) = channel();
        let cancelled = Arc::new(AtomicBool::new(false));
        let reply = Reply {
            messages,
            cancelled: cancelled.clone(),
            place: place.map(Arc::new),
        };
        let conversation = Conversation {
            inbox,
            cancelled,
            end: None,
        };
        (reply, conversation)
    }

    /// Whether nobody wants the rest.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    pub(crate) fn event(&self, event: Event) {
        if self.messages.send(Message::Event(event)).is_err() {
            self.cancelled.store(true, Ordering::Release);
        }
    }

    /// The last thing said; the place is free before it is heard. Any other writer of the answer
    /// finds it cancelled.
    pub(crate) fn end(&self, end: Result<Box<Trace>>) {
        if let Some(place) = &self.place {
            place.leave();
        }
        self.cancelled.store(true, Ordering::Release);
        // Nobody listening any more is no error.
        let _ = self.messages.send(Message::End(end));
    }
}

/// An answer being written: iterate over its events, then [`Conversation::finish`]. Dropping it
/// cancels the answer.
pub struct Conversation {
    inbox: Receiver<Message>,
    cancelled: Arc<AtomicBool>,
    end: Option<Result<Box<Trace>>>,
}

impl Conversation {
    /// The next event, if it is there by now.
    pub fn try_next(&mut self) -> Option<Event> {
        if self.end.is_some() {
            return None;
        }
        match self.inbox.try_recv() {
            Ok(message) => self.take(message),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => self.hung_up(),
        }
    }

    /// Waits for the end, past any event not yet taken; the answer's record, or why there is none.
    pub fn finish(mut self) -> Result<Trace> {
        while self.next().is_some() {}
        let end = self.end.take().unwrap_or_else(|| Err(stopped()));
        end.map(|trace| *trace)
    }

    fn take(&mut self, message: Message) -> Option<Event> {
        match message {
            Message::Event(event) => Some(event),
            Message::End(end) => {
                self.end = Some(end);
                None
            }
        }
    }

    fn hung_up(&mut self) -> Option<Event> {
        self.end = Some(Err(stopped()));
        None
    }
}

fn stopped() -> Error {
    Error::Sink("the side that wrote it stopped before its end".into())
}

impl Iterator for Conversation {
    type Item = Event;

    /// Waits for the next event; `None` at the end.
    fn next(&mut self) -> Option<Event> {
        if self.end.is_some() {
            return None;
        }
        match self.inbox.recv() {
            Ok(message) => self.take(message),
            Err(_) => self.hung_up(),
        }
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_and_freed_once() {
        let taken = Arc::new(AtomicUsize::new(0));
        let first = Place::take(&taken, 2).expect("a place");
        let second = Place::take(&taken, 2).expect("a place");
        assert!(Place::take(&taken, 2).is_none());
        first.leave();
        drop(first);
        assert_eq!(taken.load(Ordering::Acquire), 1);
        drop(second);
        assert_eq!(taken.load(Ordering::Acquire), 0);
    }

    #[test]
    fn a_dropped_conversation_is_cancelled() {
        let (reply, conversation) = Reply::new(None);
        assert!(!reply.is_cancelled());
        drop(conversation);
        assert!(reply.is_cancelled());
    }

    #[test]
    fn a_writer_that_vanishes_is_an_error_and_not_a_hang() {
        let (reply, mut conversation) = Reply::new(None);
        reply.event(Event::Text("a".into()));
        drop(reply);
        assert!(matches!(conversation.next(), Some(Event::Text(t)) if t == "a"));
        assert!(conversation.next().is_none() && conversation.try_next().is_none());
        assert!(conversation.finish().is_err());
    }
}
