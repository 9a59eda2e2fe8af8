//! A conversation: sound is pushed in as it comes, and speech that ends is answered.
//!
//! ```text
//! pcm ─Resampler─▶ 16 kHz ─Listener─▶ Heard ─Machine─▶ orders ─Scheduler─▶ answers ─▶ Event
//! ```
//!
//! [`Session`] joins the parts. The `machine` decides, and is pure: it has no thread, clock or graph,
//! so that tests drive it with scripts.

mod event;
mod settings;

pub use event::{AnswerEnd, AnswerId, Event, Latency, TurnId};
pub use settings::{Reply, Settings, TurnEnd};

use std::sync::Arc;
use std::time::Instant;

use crate::ask::Question;
use crate::audio::Pcm;
use crate::error::Result;
use crate::graph::Runtime;
use crate::scheduler::Scheduler;

/// One conversation. Its owner pushes sound and takes events; nothing here waits, except that
/// [`Session::hear`] runs the voice activity graph (0.3 ms for each 32 ms of sound) and, where a turn
/// may have ended, the turn-end graph.
pub struct Session {}

impl Session {
    /// A conversation that is answered by `scheduler`. `wake` is called from other threads when
    /// there is something new to [`Session::poll`]; it must not wait.
    pub fn new(
        scheduler: Arc<Scheduler>,
        runtime: &Runtime,
        settings: Settings,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Result<Session> {
        let _ = (scheduler, runtime, settings, wake);
        todo!()
    }

    /// Changes how the conversation goes on; a turn under way keeps what was heard of it.
    pub fn update(&mut self, settings: Settings) -> Result<()> {
        let _ = settings;
        todo!()
    }

    /// Takes sound of [`Settings::input_rate`] in, in pieces of any size. `now` is when its last
    /// sample was spoken.
    pub fn hear(&mut self, samples: &[f32], now: Instant) -> Result<()> {
        let _ = (samples, now);
        todo!()
    }

    /// Tells that the player has played `samples` of `answer`'s sound in all, at the codec's rate.
    /// Without it the session takes them to be played in real time from when they were handed over.
    pub fn played(&mut self, answer: AnswerId, samples: u64, now: Instant) {
        let _ = (answer, samples, now);
        todo!()
    }

    /// Ends the turn by hand: what was heard since the last turn (or `clear`) becomes a question.
    /// `None` if nothing was heard.
    pub fn commit(&mut self, now: Instant) -> Option<(TurnId, Pcm)> {
        let _ = now;
        todo!()
    }

    /// Forgets what was heard since the last turn.
    pub fn clear(&mut self) {
        todo!()
    }

    /// Asks a question by hand; an answer under way is cancelled first.
    pub fn ask(&mut self, question: Question, reply: &Reply, now: Instant) -> Result<AnswerId> {
        let _ = (question, reply, now);
        todo!()
    }

    /// Ends an answer early. Its [`Event::AnswerEnded`] follows.
    pub fn cancel(&mut self, answer: AnswerId) {
        let _ = answer;
        todo!()
    }

    /// Cuts what the conversation remembers of `answer` to its first `samples`, as they were heard.
    /// More than there are change nothing. The text that was heard.
    pub fn truncate(&mut self, answer: AnswerId, samples: u64) -> Option<String> {
        let _ = (answer, samples);
        todo!()
    }

    /// The next event, if there is one. `now` moves the session's clock.
    pub fn poll(&mut self, now: Instant) -> Option<Event> {
        let _ = now;
        todo!()
    }
}
