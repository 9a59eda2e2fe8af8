//! What the threads that write answers say, by way of a channel.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::machine::RunId;
use crate::ask;
use crate::engine::Memory;
use crate::error::Result;
use crate::trace::Trace;

/// What is said of an answer.
pub(super) enum Said {
    Event(ask::Event),
    End(Result<(Trace, Option<Memory>)>),
}

/// Where they put it.
pub(super) struct Inbox {
    sender: Sender<(RunId, Said)>,
    receiver: Receiver<(RunId, Said)>,
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl Inbox {
    /// Nothing is in it; `wake` is called whenever something comes.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Inbox {
        let (sender, receiver) = channel();
        Inbox {
            sender,
            receiver,
            wake: Arc::new(wake),
        }
    }

    /// The next that was said, if there is something.
    pub fn next(&self) -> Option<(RunId, Said)> {
        self.receiver.try_recv().ok()
    }

    /// What wakes the owner.
    pub fn wake(&self) -> impl Fn() + Send + Sync + use<> {
        let wake = self.wake.clone();
        move || wake()
    }

    /// Where the threads that write an answer put what they say.
    pub fn entrance(&self, run: RunId) -> impl Fn(Said) -> ControlFlow<()> + Send + use<> {
        let (sender, wake) = (self.sender.clone(), self.wake.clone());
        move |said| match sender.send((run, said)) {
            Ok(()) => {
                wake();
                ControlFlow::Continue(())
            }
            Err(_) => ControlFlow::Break(()),
        }
    }
}
