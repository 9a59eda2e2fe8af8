//! What the person sees: the level of the microphone, the answer's words as they are spoken, how
//! soon each answer came.

use std::io::{self, IsTerminal, Write};

use anyhow::Result;
use mini_omni::session::{Latency, Percentiles};

use crate::cli::terminal::{print, say};

/// Characters a second of speech, until the length of both is known.
const CHARACTERS_A_SECOND: f64 = 15.0;
/// Width of the meter, and the level at its left end, dBFS.
const METER: usize = 24;
const LOWEST: f32 = -60.0;
/// Back to the line's beginning, and the line is empty.
const CLEAR: &str = "\r\x1b[K";

/// Standard error has it all, but for the words, which go to standard output where that is free.
pub struct Screen {
    words_to_stderr: bool,
    /// Whether there is a terminal that a meter can be drawn on.
    drawn_on: bool,
    meter_shown: bool,
    words: Words,
}

impl Screen {
    /// `words_to_stderr`: standard output has the sound.
    pub fn new(words_to_stderr: bool) -> Screen {
        Screen {
            words_to_stderr,
            drawn_on: io::stderr().is_terminal(),
            meter_shown: false,
            words: Words::default(),
        }
    }

    /// The microphone's level, while nothing is said.
    pub fn meter(&mut self, samples: &[f32], state: &str) {
        if self.drawn_on && self.words.is_empty() {
            let meter = meter(level(samples));
            let _ = write!(io::stderr(), "{CLEAR}[{meter}] {state}");
            self.meter_shown = true;
        }
    }

    /// A line about the conversation.
    pub fn note(&mut self, line: &str) {
        self.clear();
        say(line);
    }

    /// How soon an answer came.
    pub fn latency(&mut self, latency: &Latency) {
        self.note(&sentence(latency));
    }

    /// How soon the answers came, but for the first.
    pub fn times(&mut self, since: &str, times: &Percentiles) {
        let Percentiles { p50, p95, p99, .. } = times;
        self.note(&format!(
            "first sound after {since}: {p50:.0} ms (p50), {p95:.0} (p95), {p99:.0} (p99)"
        ));
    }

    /// More words of the answer, shown once they are spoken.
    pub fn text(&mut self, text: &str) {
        self.words.text.push_str(text);
    }

    /// The answer has been spoken so far; its whole length, where it is known. Seconds.
    pub fn spoken(&mut self, seconds: f64, whole: Option<f64>) -> Result<()> {
        let shown = self.words.due(seconds, whole);
        if !shown.is_empty() {
            self.clear();
            self.print(&shown)?;
        }
        Ok(())
    }

    /// The answer is over; its words that were not spoken are left out.
    pub fn end_answer(&mut self) -> Result<()> {
        let was_shown = self.words.shown > 0;
        self.words = Words::default();
        match was_shown {
            true => self.print("\n"),
            false => Ok(()),
        }
    }

    fn print(&self, words: &str) -> Result<()> {
        if self.words_to_stderr {
            let _ = io::stderr().write_all(words.as_bytes());
            return Ok(());
        }
        print(words)
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.meter_shown) {
            let _ = write!(io::stderr(), "{CLEAR}");
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.clear();
    }
}

/// An answer's words, and how many bytes of them were shown.
#[derive(Default)]
struct Words {
    text: String,
    shown: usize,
}

impl Words {
    fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The words that are spoken by now and were not shown: whole ones.
    fn due(&mut self, seconds: f64, whole: Option<f64>) -> String {
        let characters = self.text.chars().count() as f64;
        let spoken = match whole {
            Some(whole) if seconds >= whole => self.text.len(),
            Some(whole) => self.word_end(seconds / whole * characters),
            None => self.word_end(seconds * CHARACTERS_A_SECOND),
        };
        let due = self.text.get(self.shown..spoken).unwrap_or("").to_string();
        self.shown = self.shown.max(spoken);
        due
    }

    /// Bytes up to the last word that begins within so many characters.
    fn word_end(&self, characters: f64) -> usize {
        let begun = self.text.char_indices().nth(characters as usize);
        let at = begun.map_or(self.text.len(), |(at, _)| at);
        let rest = self.text[at..].find(char::is_whitespace);
        rest.map_or(self.text.len(), |space| at + space)
    }
}

fn level(samples: &[f32]) -> f32 {
    let energy = samples.iter().map(|x| x * x).sum::<f32>() / samples.len().max(1) as f32;
    10.0 * energy.max(1e-10).log10()
}

fn meter(level: f32) -> String {
    let share = ((level - LOWEST) / -LOWEST).clamp(0.0, 1.0);
    let bars = (share * METER as f32).round() as usize;
    "#".repeat(bars) + &" ".repeat(METER - bars)
}

fn sentence(latency: &Latency) -> String {
    match (latency.speech_end, latency.turn_end) {
        (Some(speech), Some(turn)) => format!(
            "(answered {speech:.0} ms after you fell silent, {turn:.0} ms after the turn was over{})",
            if latency.speculative {
                ", prepared before"
            } else {
                ""
            }
        ),
        _ => format!("(answered after {:.0} ms)", latency.request),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_shown_whole_and_in_time_with_the_sound() {
        let mut words = Words {
            text: "The capital of France is Paris.".into(),
            shown: 0,
        };
        assert_eq!(words.due(0.0, None), "The");
        assert_eq!(words.due(0.3, None), " capital");
        assert_eq!(words.due(0.3, None), "");
        assert_eq!(words.due(1.0, Some(2.0)), " of France");
        assert_eq!(words.due(2.0, Some(2.0)), " is Paris.");
        assert_eq!(words.due(9.0, Some(2.0)), "");
    }

    #[test]
    fn a_text_of_any_script_can_be_cut() {
        let mut words = Words {
            text: "Grüße an 世界".into(),
            shown: 0,
        };
        let parts: String = (0..20)
            .map(|i| words.due(f64::from(i) / 20.0, None))
            .collect();
        assert_eq!(parts, "Grüße an 世界");
    }

    #[test]
    fn the_meter_goes_from_silence_to_full_scale() {
        assert_eq!(meter(level(&[])).trim(), "");
        assert_eq!(meter(level(&[1.0; 10])), "#".repeat(METER));
        let half = meter(LOWEST / 2.0);
        assert_eq!(half.matches('#').count(), METER / 2);
    }
}
