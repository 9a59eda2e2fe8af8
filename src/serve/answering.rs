//! One answer of the scheduler, as a handler waits for it.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use mini_omni::{Answer, Event, Options, Question, Request, Trace};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::player::Player;
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
            if let Event::Audio(samples) = &event
                && player.runs_dry(samples.len(), Instant::now())
            {
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
