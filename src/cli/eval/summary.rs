//! The figures of a run: over all items, of the middle one, of the worst.

use mini_omni::eval::{Errors, Interval, interval, median};
use serde::Serialize;

use super::line::{Line, Score};
use super::log::Settings;

/// What an evaluation says.
#[derive(Serialize)]
pub struct Summary {
    pub settings: Settings,
    pub set: String,
    /// Items that the figures are of.
    pub items: usize,
    /// Sounds that were longer than the model hears.
    pub cut: usize,
    /// Sounds in which no speech was found, so that nothing was said.
    pub no_speech: usize,
    /// Answers that came to the limit.
    pub limit: usize,
    /// Null of other tasks than a1t1.
    pub transcription: Option<Transcription>,
    /// Null of a1t1.
    pub answers: Option<Share>,
    /// Null without a judge.
    pub answers_heard: Option<Share>,
    /// Null without a judge.
    pub voice: Option<Rate>,
    /// The worst first.
    pub worst: Vec<Line>,
}

#[derive(Serialize)]
pub struct Transcription {
    pub whisper: Rates,
    pub original: Rates,
}

#[derive(Serialize)]
pub struct Rates {
    pub words: Rate,
    pub characters: Rate,
}

/// An error rate, of the items in which something was to be said.
#[derive(Serialize)]
pub struct Rate {
    /// Those items.
    pub items: usize,
    /// All errors over all that was to be said.
    pub corpus: Option<f64>,
    pub interval: Option<Interval>,
    pub median: Option<f64>,
    pub worst: Option<f64>,
    pub errors: Errors,
}

/// A share of right answers.
#[derive(Serialize)]
pub struct Share {
    pub right: usize,
    pub of: usize,
    pub share: f64,
    pub interval: Option<Interval>,
}

/// The figures of some lines, in the order of the set.
pub struct Figures<'a>(pub &'a [Line]);

impl Figures<'_> {
    pub fn ended(&self, name: &str) -> usize {
        self.0.iter().filter(|line| line.ended == name).count()
    }

    pub fn cut(&self) -> usize {
        self.0.iter().filter(|line| line.cut).count()
    }

    pub fn transcription(&self) -> Option<Transcription> {
        let of = |line: &Line| line.transcript;
        let transcripts: Option<Vec<_>> = self.0.iter().map(of).collect();
        transcripts.map(|all| Transcription {
            whisper: Rates::of(all.iter().map(|t| t.whisper)),
            original: Rates::of(all.iter().map(|t| t.original)),
        })
    }

    pub fn answers(&self) -> Option<Share> {
        Share::of(self.0.iter().map(|line| line.right))
    }

    pub fn answers_heard(&self) -> Option<Share> {
        Share::of(self.0.iter().map(|line| line.right_heard))
    }

    pub fn voice(&self) -> Option<Rate> {
        let errors: Option<Vec<_>> = self.0.iter().map(|line| line.voice).collect();
        errors.map(Rate::of)
    }

    /// The worst `n` of those that are not perfect.
    pub fn worst(&self, n: usize) -> Vec<Line> {
        let mut lines: Vec<&Line> = self.0.iter().filter(|line| line.badness() > 0.0).collect();
        lines.sort_by(|a, b| b.badness().total_cmp(&a.badness()));
        lines.into_iter().take(n).cloned().collect()
    }
}

impl Rates {
    fn of(scores: impl Iterator<Item = Score>) -> Rates {
        let (words, characters) = scores.map(|s| (s.words, s.characters)).unzip();
        Rates {
            words: Rate::of(words),
            characters: Rate::of(characters),
        }
    }
}

impl Rate {
    /// An item without a word in its label has no rate, so its errors would be in the sum alone, which
    /// could then be above the worst.
    fn of(mut all: Vec<Errors>) -> Rate {
        all.retain(|errors| errors.of > 0);
        let errors = all.iter().copied().fold(Errors::default(), Errors::and);
        let pairs: Vec<_> = all
            .iter()
            .map(|errors| (errors.total(), errors.of))
            .collect();
        let rates: Vec<f64> = all.iter().filter_map(Errors::rate).collect();
        Rate {
            items: all.len(),
            corpus: errors.rate(),
            interval: interval(&pairs),
            worst: rates.iter().copied().reduce(f64::max),
            median: median(rates),
            errors,
        }
    }
}

impl Share {
    fn of(right: impl Iterator<Item = Option<bool>>) -> Option<Share> {
        let right = right.map(|right| right.map(usize::from));
        let pairs: Vec<_> = right
            .map(|right| Some((right?, 1)))
            .collect::<Option<_>>()?;
        let of = pairs.len();
        let right = pairs.iter().map(|(right, _)| right).sum();
        Some(Share {
            right,
            of,
            share: right as f64 / of.max(1) as f64,
            interval: interval(&pairs),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_of_all_lies_between_those_of_the_items() {
        let [said, silent] = [("a b", "a c"), ("", "x y z")];
        let errors = |(label, text)| Errors::in_words(label, text);
        let rate = Rate::of(vec![errors(said), errors(silent)]);
        assert_eq!((rate.items, rate.errors.total()), (1, 1));
        assert_eq!((rate.corpus, rate.worst), (Some(0.5), Some(0.5)));
        assert_eq!(Rate::of(vec![errors(silent)]).corpus, None);
    }
}
