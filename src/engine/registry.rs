//! The answers under way, so that all of them end at once if a thread that writes them dies.

use std::sync::{Arc, PoisonError};

use super::sink::{Sink, WeakSink};
use crate::error::{Error, ErrorKind, Result};
use crate::sync::Mutex;

/// All answers that have not ended. Clones are of the same.
#[derive(Clone, Default)]
pub(crate) struct Registry(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    answers: Vec<WeakSink>,
    /// Why there will be no more.
    dead: Option<Error>,
}

impl Registry {
    /// Takes an answer in, or says why there are no more.
    pub fn add(&self, sink: &Sink) -> Result<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = &state.dead {
            return Err(error.clone());
        }
        let going = |weak: &WeakSink| weak.upgrade().is_some_and(|sink| !sink.has_ended());
        state.answers.retain(going);
        state.answers.push(sink.downgrade());
        Ok(())
    }

    /// Whether answers are still taken in.
    pub fn is_alive(&self) -> bool {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.dead.is_none()
    }

    /// Ends every answer, now and from now on: `thread` died.
    pub fn die(&self, thread: &str) {
        let sentence = format!("the {thread} thread died; start the program again");
        let error = Error::new(ErrorKind::Stopped, sentence);
        let answers = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.dead.get_or_insert(error.clone());
            std::mem::take(&mut state.answers)
        };
        for sink in answers.iter().filter_map(WeakSink::upgrade) {
            sink.end(Err(error.clone()));
        }
    }

    /// Calls [`Registry::die`] if the thread that holds it panics.
    pub fn guard(&self, thread: &'static str) -> DeathGuard {
        DeathGuard {
            registry: self.clone(),
            thread,
        }
    }
}

/// Held by a thread as long as it lives.
pub(crate) struct DeathGuard {
    registry: Registry,
    thread: &'static str,
}

impl Drop for DeathGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.registry.die(self.thread);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_dead_thread_ends_all_answers_and_later_ones() {
        let registry = Registry::default();
        let (sink, answer) = Sink::new(Instant::now(), None);
        registry.add(&sink).expect("all threads live");
        let guard = registry.guard("decoder");
        let thread = std::thread::spawn(move || {
            let _guard = guard;
            panic!("as a test");
        });
        assert!(thread.join().is_err());
        let error = answer.finish().expect_err("the decoder died");
        assert_eq!(error.kind(), ErrorKind::Stopped);
        assert!(error.to_string().contains("decoder"), "{error}");
        assert!(!registry.is_alive() && registry.add(&sink).is_err());
    }
}
