//! One answer of the scheduler, as a handler waits for it.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use mini_omni::{Answer, Event, Options, Question, Request, Trace};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::refusal::{Reason, Refusal};
use super::shared::{Place, Shared};

/// An answer under way, and its place among the conversations. Dropping it cancels the answer.
pub struct Answering {
    shared: Arc<Shared>,
    _place: Arc<Place>,
    answer: Option<Answer>,
    /// No longer than the longest answer of the model.
    events: UnboundedReceiver<Event>,
    /// Taken out of `events` to see whether there is an answer at all.
    first: Option<Event>,
    sample_rate: u32,
}

/// An answer at its end.
pub struct Whole {
    /// What was written.
    pub text: String,
    /// 16-bit samples of what was said.
    pub pcm: Vec<u8>,
    /// The record.
    pub trace: Trace,
}

impl Answering {
    /// Asks, and waits until the answer begins: what is refused is refused here, while the client can
    /// still be told by a status.
    pub async fn begin(
        shared: &Arc<Shared>,
        place: Arc<Place>,
        question: Question,
        options: Options,
    ) -> Result<Answering, Refusal> {
        let model = place.model.clone();
        let sample_rate = model.manifest.codec.sample_rate;
        let (sender, events) = unbounded_channel();
        let mut player = Player::new(sample_rate);
        let metrics = shared.clone();
        let request = Request::new(question, options).sink(move |event| {
            if player.runs_dry(&event, Instant::now()) {
                metrics.metrics.underrun();
            }
            match sender.send(event) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        });
        let answer = model.scheduler.submit(request)?;
        let mut answering = Answering {
            shared: shared.clone(),
            _place: place,
            answer: Some(answer),
            events,
            first: None,
            sample_rate,
        };
        match answering.events.recv().await {
            Some(Event::NoSpeech) => {
                answering.finish()?;
                let sentence = "there is no speech in the question; nothing was answered";
                Err(Refusal::new(Reason::NoSpeech, sentence))
            }
            Some(first) => {
                answering.first = Some(first);
                Ok(answering)
            }
            None => answering.failed_or_empty(),
        }
    }

    /// An answer without events: it failed, or there was nothing to say.
    fn failed_or_empty(mut self) -> Result<Answering, Refusal> {
        let answer = self.answer.take();
        match answer.map(Answer::finish) {
            Some(Err(error)) => {
                self.shared.metrics.failed();
                Err(error.into())
            }
            _ => {
                let sentence = "the model had nothing to say";
                Err(Refusal::new(Reason::Failed, sentence))
            }
        }
    }

    /// Hz of its sound.
    pub fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// The next event; `None` at the end.
    pub async fn next(&mut self) -> Option<Event> {
        match self.first.take() {
            Some(event) => Some(event),
            None => self.events.recv().await,
        }
    }

    /// The record, behind the last event, or why the answer is not whole.
    pub fn finish(mut self) -> Result<Trace, Refusal> {
        let Some(answer) = self.answer.take() else {
            return Err(Refusal::new(Reason::Failed, "the answer has ended before"));
        };
        let metrics = &self.shared.metrics;
        match answer.finish() {
            Ok(trace) => {
                metrics.answered(&trace, self.sample_rate);
                Ok(trace)
            }
            Err(error) => {
                metrics.failed();
                Err(error.into())
            }
        }
    }

    /// Waits for the end.
    pub async fn whole(mut self) -> Result<Whole, Refusal> {
        let (mut text, mut pcm) = (String::new(), Vec::new());
        while let Some(event) = self.next().await {
            match event {
                Event::Text(piece) => text += &piece,
                Event::Audio(samples) => pcm.extend(super::sound::pcm16(&samples)),
                _ => {}
            }
        }
        let trace = self.finish()?;
        Ok(Whole { text, pcm, trace })
    }
}

impl Drop for Answering {
    /// Gives the row back at the next step.
    fn drop(&mut self) {
        if self.answer.take().is_some() {
            self.shared.metrics.cancelled();
        }
    }
}

/// A player that begins with the first sound.
struct Player {
    sample_rate: f64,
    began: Option<Instant>,
    samples: usize,
}

impl Player {
    fn new(sample_rate: u32) -> Player {
        Player {
            sample_rate: sample_rate.into(),
            began: None,
            samples: 0,
        }
    }

    /// Takes sound; whether it came later than the player needed it.
    fn runs_dry(&mut self, event: &Event, now: Instant) -> bool {
        let Event::Audio(samples) = event else {
            return false;
        };
        let played = now.duration_since(*self.began.get_or_insert(now));
        let late = played.as_secs_f64() * self.sample_rate > self.samples as f64;
        self.samples += samples.len();
        late
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_player_runs_dry_where_sound_is_late() {
        let start = Instant::now();
        let mut player = Player::new(1000);
        let mut at = |ms, samples| {
            let event = Event::Audio(vec![0.0; samples]);
            player.runs_dry(&event, start + Duration::from_millis(ms))
        };
        assert!(!at(40, 100), "the player waits for the first");
        assert!(!at(140, 100), "just in time");
        assert!(at(241, 100), "a millisecond late");
    }
}
