//! What came of one item: a line of the results.

use anyhow::Result;
use mini_omni::eval::{Errors, Rule};
use serde::{Deserialize, Serialize};

use super::set::{Fingerprint, Item, Label};

/// An item's answer and what it is worth.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Line {
    pub id: String,
    pub asked: Fingerprint,
    pub label: Label,
    /// The answer's text.
    pub said: String,
    /// Why the answer ended.
    pub ended: String,
    /// Whether the sound was longer than the model hears; only its beginning was heard then.
    pub cut: bool,
    /// From the question to the end of the answer, beside others.
    pub total_ms: f64,
    /// The answer's sound, seconds; null of a task that does not speak.
    pub seconds: Option<f64>,
    /// What the judge heard of that; null without a judge.
    pub heard: Option<String>,
    /// By both rules; null of other tasks than a1t1.
    pub transcript: Option<Transcript>,
    /// Null of a1t1.
    pub right: Option<bool>,
    /// Whether what was heard is right; null without a judge.
    pub right_heard: Option<bool>,
    /// Words that were heard against those that were written, by Whisper's rule; null without a judge.
    pub voice: Option<Errors>,
}

/// A transcription's errors, by both rules.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Transcript {
    pub whisper: Score,
    pub original: Score,
}

/// Errors by one rule.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Score {
    pub words: Errors,
    pub characters: Errors,
}

/// The answer to an item, before it is held against the label.
pub struct Answered {
    pub asked: Fingerprint,
    pub said: String,
    pub ended: String,
    pub cut: bool,
    pub total_ms: f64,
    pub seconds: Option<f64>,
    pub heard: Option<String>,
}

impl Line {
    /// Holds an answer against its label.
    pub fn of(item: &Item, answered: Answered) -> Result<Line> {
        let Answered { said, heard, .. } = answered;
        let expected = item.label.expected()?;
        let is_right = |text: &String| expected.as_ref().map(|e| e.is_said(text));
        let transcript = match &item.label {
            Label::Text(text) => Some(Transcript::of(text, &said)),
            Label::Answer { .. } => None,
        };
        let in_words = |heard: &String| {
            let [said, heard] = [&said, heard].map(|text| Rule::Whisper.words(text));
            Errors::in_words(&said, &heard)
        };
        Ok(Line {
            id: item.id.clone(),
            asked: answered.asked,
            label: item.label.clone(),
            ended: answered.ended,
            cut: answered.cut,
            total_ms: answered.total_ms,
            seconds: answered.seconds,
            transcript,
            right: is_right(&said),
            right_heard: heard.as_ref().and_then(is_right),
            voice: heard.as_ref().map(in_words),
            said,
            heard,
        })
    }

    /// What of an item is another than it was when the line was written.
    pub fn differs(&self, item: &Item) -> Result<Option<&'static str>> {
        if self.label != item.label {
            return Ok(Some("label"));
        }
        let asked = item.asked.fingerprint()?;
        let what = match &asked {
            Fingerprint::Text(_) => "question",
            Fingerprint::Sha256(_) => "sound",
        };
        Ok((asked != self.asked).then_some(what))
    }

    /// How wrong it is, to find the worst: the word error rate, or 1 of a wrong answer.
    pub fn badness(&self) -> f64 {
        let words = self.transcript.and_then(|t| t.whisper.words.rate());
        let wrong = |right: Option<bool>| f64::from(u8::from(right == Some(false)));
        let voice = self.voice.and_then(|errors| errors.rate()).unwrap_or(0.0);
        words.unwrap_or(wrong(self.right) + wrong(self.right_heard) + voice)
    }
}

impl Transcript {
    fn of(label: &str, said: &str) -> Transcript {
        let [whisper, original] = [Rule::Whisper, Rule::Original].map(|rule| {
            let [label, said] = [label, said].map(|text| rule.words(text));
            Score {
                words: Errors::in_words(&label, &said),
                characters: Errors::in_characters(&label, &said),
            }
        });
        Transcript { whisper, original }
    }
}
