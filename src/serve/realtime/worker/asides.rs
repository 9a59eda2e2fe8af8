//! Questions beside the conversation: answers that are no part of it, and what was said, written down.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mini_omni::{Ended, Event, Options, Pcm, Question, Request, Task};

use super::events::no_question;
use super::{Input, Worker};
use crate::serve::realtime::beside::{Beside, News};
use crate::serve::realtime::dialogue::{Key, Plan};
use crate::serve::realtime::response::{End, error_body};
use crate::serve::realtime::server::{ErrorBody, Reason};

/// A question is written down only so long after it was asked, and while no answer is under way: an
/// answer goes first.
const TRANSCRIBE_AFTER: Duration = Duration::from_millis(300);
/// Questions that wait to be written down; more than these are not.
const MOST_TRANSCRIPTIONS: usize = 16;
/// Answers beside the conversation at once.
const MOST_BESIDE: usize = 2;

/// A question that is to be written down.
pub(super) struct Transcription {
    item_id: String,
    sound: Arc<Pcm>,
}

/// A question that is being written down.
pub(super) struct Transcribing {
    key: u64,
    _beside: Beside,
    item_id: String,
    seconds: f64,
    said: String,
}

impl Worker {
    /// Asks what is no part of the conversation.
    pub(super) fn ask_beside(&mut self, plan: Plan) {
        let Some(question) = plan.question else {
            self.dialogue.failed(plan.outline, no_question());
            return;
        };
        if self.beside.len() >= MOST_BESIDE {
            let sentence = format!("{MOST_BESIDE} answers beside the conversation are under way");
            self.dialogue
                .failed(plan.outline, ErrorBody::server("busy", sentence));
            return;
        }
        let options = plan.reply.options_for(&question);
        match self.beside(Request::new(question, options)) {
            Ok((key, beside)) => {
                self.beside.insert(key, beside);
                self.dialogue.started(Key::Beside(key), plan.outline);
            }
            Err(error) => self.dialogue.failed(plan.outline, error_body(&error)),
        }
    }

    fn beside(&mut self, request: Request) -> mini_omni::Result<(u64, Beside)> {
        let key = self.next_beside;
        self.next_beside += 1;
        let inputs = self.inputs.clone();
        let tell = move |news| {
            let _ = inputs.send(Input::Beside(key, news));
        };
        Ok((key, Beside::ask(&self.scheduler, request, tell)?))
    }

    /// What a question beside the conversation has to tell.
    pub(super) fn news(&mut self, key: u64, news: News) {
        if self.transcribing.as_ref().is_some_and(|t| t.key == key) {
            self.transcript(news);
            return;
        }
        match news {
            News::Event(Event::Text(text)) => self.dialogue.text(Key::Beside(key), text),
            News::Event(Event::Audio(samples)) => self.audio(Key::Beside(key), &samples),
            News::Event(_) => {}
            News::End(end) => {
                self.beside.remove(&key);
                self.players.remove(&Key::Beside(key));
                let end = match end {
                    Ok(trace) if trace.ended == Ended::Cancelled => {
                        End::Cut(trace.into(), Reason::ClientCancelled)
                    }
                    Ok(trace) => End::Done(trace.into()),
                    Err(error) => End::Failed(error_body(&error)),
                };
                self.dialogue.ended(Key::Beside(key), end);
            }
        }
    }

    /// Puts a question among those to be written down, if the session wants that.
    pub(super) fn transcribe_later(&mut self, item_id: String, sound: Arc<Pcm>) {
        if self.dialogue.session().audio.input.transcription.is_none() {
            return;
        }
        if self.to_transcribe.len() == MOST_TRANSCRIPTIONS {
            let sentence = "too many questions wait to be written down";
            self.dialogue
                .transcription_failed(item_id, ErrorBody::server("busy", sentence));
            return;
        }
        self.to_transcribe
            .push_back(Transcription { item_id, sound });
        self.transcribe_from = Instant::now() + TRANSCRIBE_AFTER;
    }

    /// Writes the next question down.
    pub(super) fn transcribe(&mut self) {
        let Some(Transcription { item_id, sound }) = self.to_transcribe.pop_front() else {
            return;
        };
        let seconds = sound.seconds();
        let question = Question::Audio(Pcm::clone(&sound));
        match self.beside(Request::new(question, Options::for_task(Task::A1T1))) {
            Ok((key, beside)) => {
                self.transcribing = Some(Transcribing {
                    key,
                    _beside: beside,
                    item_id,
                    seconds,
                    said: String::new(),
                });
            }
            Err(error) => self
                .dialogue
                .transcription_failed(item_id, error_body(&error)),
        }
    }

    /// A piece of what a question says, or its end.
    fn transcript(&mut self, news: News) {
        let Some(transcribing) = &mut self.transcribing else {
            return;
        };
        match news {
            News::Event(Event::Text(text)) => {
                transcribing.said.push_str(&text);
                self.dialogue.transcript_delta(&transcribing.item_id, text);
            }
            News::Event(_) => {}
            News::End(end) => {
                let Some(done) = self.transcribing.take() else {
                    return;
                };
                match end {
                    Ok(_) => self
                        .dialogue
                        .transcribed(done.item_id, done.said, done.seconds),
                    Err(error) => self
                        .dialogue
                        .transcription_failed(done.item_id, error_body(&error)),
                }
            }
        }
    }
}
