//! Questions beside the conversation: what was said, written down, and answers that are no part of it.
//!
//! Each goes to the scheduler by itself, remembers nothing and is remembered by nobody. A thread
//! waits for its events.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mini_omni::{Answer, Error, Event, Request, Scheduler, Trace};

/// What comes of such a question.
pub enum News {
    /// A piece of its answer.
    Event(Event),
    /// The end of it.
    End(Result<Box<Trace>, Error>),
}

/// A question that was asked; dropping it ends its answer early.
pub struct Beside(Arc<AtomicBool>);

impl Beside {
    /// Asks. `tell` is called from another thread.
    pub fn ask(
        scheduler: &Scheduler,
        request: Request,
        tell: impl Fn(News) + Send + 'static,
    ) -> Result<Beside, Error> {
        let answer = scheduler.submit(request)?;
        let cancelled = Arc::new(AtomicBool::new(false));
        let beside = Beside(cancelled.clone());
        std::thread::spawn(move || follow(answer, &cancelled, tell));
        Ok(beside)
    }

    /// Ends the answer early; its end is told like any other.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.cancel();
    }
}

fn follow(mut answer: Answer, cancelled: &AtomicBool, tell: impl Fn(News)) {
    for event in &mut answer {
        if cancelled.load(Ordering::Relaxed) {
            break;
        }
        tell(News::Event(event));
    }
    if cancelled.load(Ordering::Relaxed) {
        answer.cancel();
    }
    tell(News::End(answer.finish().map(Box::new)));
}
