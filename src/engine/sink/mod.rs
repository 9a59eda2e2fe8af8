//! Two ends of one answer: the threads that write it hold a [`Sink`], the person who asked an
//! [`Answer`].
//!
//! The sink owns all that the answer's writers have in common: when the question came, where the
//! events go, whether anybody still wants them, and the answer's timings. Events of an answer that
//! is *held* wait in it until they are released or discarded.

use std::ops::{ControlFlow, Deref};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Instant;

use crate::ask::{Event, millis};
use crate::decoding::generation::Ended;
use crate::engine::memory::Memory;
use crate::engine::permit::Permit;
use crate::error::{Error, ErrorKind, Result};
use crate::sync::{Mutex, MutexGuard};
use crate::trace::{Timings, Trace};

/// Takes the events of an answer; breaking cancels the rest.
pub(crate) type Receive = Box<dyn FnMut(Event) -> ControlFlow<()> + Send>;

/// Takes the end of an answer.
pub(crate) type Ending = Box<dyn FnOnce(End) + Send>;

/// How an answer ended: its record, and the row of the cache if it was to be kept.
pub(crate) type End = Result<(Box<Trace>, Option<Memory>)>;

/// The end that writes. Clones belong to the same answer; when the last is dropped and none has
/// told the end, the answer ends with an error.
#[derive(Clone)]
pub(crate) struct Sink(Arc<WriteEnd>);

/// A sink that does not keep its answer alive.
pub(crate) struct WeakSink(Weak<WriteEnd>);

struct WriteEnd(Arc<Shared>);

impl Deref for Sink {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0.0
    }
}

impl Drop for WriteEnd {
    fn drop(&mut self) {
        self.0.end(Err(stopped()));
    }
}

/// What both ends know.
pub(crate) struct Shared {
    /// When the question came.
    start: Instant,
    cancelled: AtomicBool,
    ended: AtomicBool,
    state: Mutex<State>,
}

struct State {
    receive: Option<Receive>,
    ending: Option<Ending>,
    /// Events that wait for their release.
    held: Option<Vec<Event>>,
    /// The end of an answer that ended while it was held.
    held_end: Option<End>,
    permit: Option<Permit>,
    memory: Option<Memory>,
    samples: usize,
    timings: Timings,
}

impl Sink {
    /// Both ends of a new answer to a question that came at `start`. Its events go to `receive`;
    /// where there is none, the [`Answer`] yields them.
    pub fn new(start: Instant, receive: Option<Receive>) -> (Sink, Answer) {
        let (end, ends) = channel();
        let (receive, events) = match receive {
            Some(receive) => (receive, None),
            None => {
                let (receive, events) = to_channel();
                (receive, Some(events))
            }
        };
        let shared = Arc::new(Shared {
            start,
            cancelled: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            state: Mutex::new(State {
                receive: Some(receive),
                // Nobody listening any more is no error.
                ending: Some(Box::new(move |ended| drop(end.send(ended)))),
                held: None,
                held_end: None,
                permit: None,
                memory: None,
                samples: 0,
                timings: Timings::default(),
            }),
        });
        let answer = Answer {
            shared: shared.clone(),
            events,
            ends,
        };
        (Sink(Arc::new(WriteEnd(shared))), answer)
    }

    /// The same sink, for those who must not keep the answer alive.
    pub fn downgrade(&self) -> WeakSink {
        WeakSink(Arc::downgrade(&self.0))
    }
}

impl WeakSink {
    /// The sink, if its answer is still being written.
    pub fn upgrade(&self) -> Option<Sink> {
        self.0.upgrade().map(Sink)
    }
}

impl Shared {
    /// When the question came.
    pub fn start(&self) -> Instant {
        self.start
    }

    /// Keeps `permit` until the answer has ended.
    pub fn keep_permit(&self, permit: Permit) {
        self.lock().permit = Some(permit);
    }

    /// Gives the end to `ending` in place of the [`Answer`].
    pub fn at_end(&self, ending: Ending) {
        self.lock().ending = Some(ending);
    }

    /// Holds events back until the [`Answer`] releases or discards them.
    pub fn hold(&self) {
        self.lock().held.get_or_insert_default();
    }

    /// Whether nobody wants the rest, or it has ended.
    pub fn is_over(&self) -> bool {
        self.is_cancelled() || self.has_ended()
    }

    /// Whether nobody wants the rest.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// Whether it was thrown away before anything of it was handed over.
    pub fn is_discarded(&self) -> bool {
        self.is_cancelled() && self.lock().held.is_some()
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Notes how long something took.
    pub fn time(&self, note: impl FnOnce(&mut Timings)) {
        note(&mut self.lock().timings);
    }

    /// Keeps the row of the cache, to be given back with the end.
    pub fn keep_memory(&self, memory: Memory) {
        self.lock().memory = Some(memory);
    }

    /// Hands an event over.
    pub fn event(&self, event: Event) {
        let mut state = self.lock();
        if self.is_over() {
            return;
        }
        match &mut state.held {
            Some(held) => held.push(event),
            None => self.deliver(&mut state, event),
        }
    }

    /// The last thing said: the answer's record, which gets its timings here, or why there is none.
    /// The permit is free before the end is delivered. Later ends are ignored.
    pub fn end(&self, end: Result<Box<Trace>>) {
        let mut state = self.lock();
        if self.ended.swap(true, Ordering::AcqRel) {
            return;
        }
        state.permit = None;
        state.timings.total = millis(self.start.elapsed());
        let end = end.map(|mut trace| {
            trace.timings_ms = std::mem::take(&mut state.timings);
            if self.is_cancelled() {
                trace.ended = Ended::Cancelled;
            }
            (trace, state.memory.take())
        });
        if state.held.is_some() && !self.is_cancelled() {
            state.held_end = Some(end);
            return;
        }
        let last = state.close(end);
        drop(state);
        last.tell();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives an event to the receiver. One that breaks, or panics, cancels its answer and no other.
    fn deliver(&self, state: &mut State, event: Event) {
        if let Event::Audio(samples) = &event {
            state.samples += samples.len();
            let since = millis(self.start.elapsed());
            state.timings.first_audio.get_or_insert(since);
        }
        let Some(receive) = &mut state.receive else {
            return;
        };
        let flow = catch_unwind(AssertUnwindSafe(|| receive(event)));
        if !matches!(flow, Ok(ControlFlow::Continue(()))) {
            self.cancelled.store(true, Ordering::Release);
        }
    }
}

impl State {
    /// No event follows; the end is to be told once the lock is free.
    fn close(&mut self, end: End) -> Last {
        self.held = None;
        self.receive = None;
        let end = end.map(|(mut trace, memory)| {
            trace.pcm_samples = self.samples;
            (trace, memory)
        });
        Last(self.ending.take().map(|ending| (ending, end)))
    }
}

/// The end of an answer and who is told it. They may drop the [`Answer`], which takes the lock.
#[must_use]
struct Last(Option<(Ending, End)>);

impl Last {
    fn tell(self) {
        if let Some((ending, end)) = self.0 {
            // A careless one that panics has had its say; the threads that write go on.
            let _ = catch_unwind(AssertUnwindSafe(|| ending(end)));
        }
    }
}

fn to_channel() -> (Receive, Receiver<Event>) {
    let (sender, events) = channel();
    let receive = move |event| match sender.send(event) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    };
    (Box::new(receive), events)
}

/// An answer being written: iterate over its events, unless a sink takes them, then
/// [`Answer::finish`]. Dropping it cancels the answer.
pub struct Answer {
    shared: Arc<Shared>,
    /// `None` where a sink takes them.
    events: Option<Receiver<Event>>,
    ends: Receiver<End>,
}

impl Answer {
    /// The next event, if it is there by now.
    pub fn try_next(&mut self) -> Option<Event> {
        self.events.as_ref()?.try_recv().ok()
    }

    /// Ends the answer early: no event follows, and [`Answer::finish`] gives the record of what was
    /// handed over. A held answer is discarded.
    pub fn cancel(&self) {
        self.shared.cancelled.store(true, Ordering::Release);
        let mut state = self.shared.lock();
        state.held = state.held.take().map(|_| Vec::new());
        if let Some(end) = state.held_end.take() {
            let last = state.close(end.map(|(mut trace, memory)| {
                trace.ended = Ended::Cancelled;
                (trace, memory)
            }));
            drop(state);
            last.tell();
        }
    }

    /// Hands over what was held back, and from now on each event as it comes.
    pub fn release(&self) {
        let mut state = self.shared.lock();
        for event in state.held.take().into_iter().flatten() {
            if !self.shared.is_cancelled() {
                self.shared.deliver(&mut state, event);
            }
        }
        if let Some(end) = state.held_end.take() {
            let last = state.close(end);
            drop(state);
            last.tell();
        }
    }

    /// Waits for the end, past any event not yet taken; the answer's record, or why there is none.
    /// An answer that was cancelled has its record, too; one that is still held is released. Where
    /// [`crate::Request::at_end`] takes the end it is [`ErrorKind::Stopped`] here.
    pub fn finish(self) -> Result<Trace> {
        self.finish_with_memory().map(|(trace, _)| trace)
    }

    /// The same with the conversation's memory, where the question asked for it to be kept.
    pub fn finish_with_memory(mut self) -> Result<(Trace, Option<Memory>)> {
        self.release();
        while self.next().is_some() {}
        let end = self.ends.recv().unwrap_or_else(|_| Err(stopped()));
        end.map(|(trace, memory)| (*trace, memory))
    }
}

/// Where the threads that wrote an answer have gone.
fn stopped() -> Error {
    Error::new(
        ErrorKind::Stopped,
        "the threads that wrote the answer ended before it did, or its end was told elsewhere",
    )
}

impl Iterator for Answer {
    type Item = Event;

    /// Waits for the next event; `None` at the end.
    fn next(&mut self) -> Option<Event> {
        self.events.as_ref()?.recv().ok()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.cancel();
    }
}

#[cfg(test)]
mod tests;
