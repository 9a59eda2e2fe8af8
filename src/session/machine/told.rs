//! An answer that its owner knows of.

use std::time::Instant;

use crate::ask::{Millis, millis};
use crate::session::event::{AnswerId, Latency, TurnId};
use crate::session::playback::Playback;

/// The last answer that was told.
#[derive(Debug)]
pub(super) struct Told {
    pub id: AnswerId,
    /// What it answers, if it began by itself.
    pub turn: Option<TurnId>,
    pub times: Times,
    pub playback: Playback,
    /// Whether its end was told.
    pub ended: bool,
    /// Whether the owner was told that it was interrupted.
    pub interrupted: bool,
    /// Samples that wait to be taken.
    pub queued: u64,
    /// Samples that were made.
    made: u64,
    pub spoken: bool,
    text: String,
    /// Whether the first sound was handed over.
    sounded: bool,
}

/// When what an answer waits for was known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// When the model was asked.
    pub requested: Instant,
    /// When it was certain that the turn is over, and when the voice had ended; `None` for a question
    /// asked by hand.
    pub turn_end: Option<(Instant, Instant)>,
    /// Whether the model was asked before that.
    pub speculative: bool,
}

impl Told {
    /// Nothing of it was said yet. `rate`: Hz of its sound.
    pub fn new(id: AnswerId, times: Times, spoken: bool, rate: u32) -> Told {
        Told {
            id,
            turn: None,
            times,
            playback: Playback::new(rate),
            ended: false,
            interrupted: false,
            queued: 0,
            made: 0,
            spoken,
            text: String::new(),
            sounded: false,
        }
    }

    /// Whether something of it is still to come or to be played.
    pub fn is_under_way(&mut self, now: Instant) -> bool {
        !self.interrupted && (!self.ended || self.is_sounding(now))
    }

    /// Whether there is sound of it that was not played.
    pub fn is_sounding(&mut self, now: Instant) -> bool {
        self.queued > 0 || self.playback.is_sounding(now)
    }

    pub fn write(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// So many samples more were made.
    pub fn speak(&mut self, samples: usize) {
        self.made += samples as u64;
        self.queued += samples as u64;
    }

    /// Its text as far as `samples` of its sound: the same share of the characters, in whole words.
    /// All of it where it is not spoken, or all that was made of its sound was heard.
    pub fn text(&self, samples: u64) -> &str {
        match self.made {
            0 if self.spoken => return "",
            made if samples >= made => return &self.text,
            _ => {}
        }
        let n_chars = self.text.chars().count() as u64;
        let share = (n_chars * samples / self.made) as usize;
        let end = self.text.char_indices().nth(share).map_or(0, |(at, _)| at);
        let in_word = !self.text[end..].starts_with(char::is_whitespace);
        let heard = &self.text[..end];
        match heard.rfind(char::is_whitespace) {
            Some(word) if in_word => &heard[..word],
            None if in_word => "",
            _ => heard,
        }
    }

    /// So many samples are handed to the player; the latency, if they are the first.
    pub fn hand_over(&mut self, samples: usize, now: Instant) -> Option<Latency> {
        self.playback.hand_over(samples, now);
        self.queued = self.queued.saturating_sub(samples as u64);
        let first = !std::mem::replace(&mut self.sounded, true);
        let since = |then: Instant| -> Millis { millis(now.saturating_duration_since(then)) };
        first.then(|| Latency {
            answer: self.id,
            speech_end: self.times.turn_end.map(|(_, speech)| since(speech)),
            turn_end: self.times.turn_end.map(|(certain, _)| since(certain)),
            request: since(self.times.requested),
            speculative: self.times.speculative,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_cut_where_its_sound_was_to_whole_words() {
        let times = Times {
            requested: Instant::now(),
            turn_end: None,
            speculative: false,
        };
        let mut written = Told::new(AnswerId(1), times, false, 1000);
        written.write("Paris");
        assert_eq!(written.text(0), "Paris");
        let mut told = Told::new(AnswerId(1), times, true, 1000);
        told.write("Paris, it is.");
        assert_eq!(told.text(0), "", "nothing was heard yet");
        told.speak(1300);
        let cuts = [
            (0, ""),
            (590, ""),
            (600, "Paris,"),
            (850, "Paris,"),
            (900, "Paris, it"),
        ];
        for (samples, text) in cuts {
            assert_eq!(told.text(samples), text, "{samples}");
        }
        assert_eq!(told.text(1300), "Paris, it is.");
    }
}
