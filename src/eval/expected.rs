//! What an answer has to say to be right.

use regex::{Regex, RegexBuilder};

use super::Rule;
use crate::error::{Error, ErrorKind, Result};

/// Alternatives, a pattern, or both; any one that an answer says makes it right.
#[derive(Debug, Clone)]
pub struct Expected {
    /// Normalised words, a space at either end of each.
    answers: Vec<String>,
    pattern: Option<Regex>,
}

impl Expected {
    /// `answers`: each a word or more, to be said in a row, as [`Rule::Whisper`] sees them. `pattern`: a
    /// regular expression to be found in the answer as it is written, in either case.
    pub fn new(answers: &[String], pattern: Option<&str>) -> Result<Expected> {
        let answers = answers.iter().map(|answer| words_of_label(answer));
        let pattern = pattern.map(|text| {
            let built = RegexBuilder::new(text).case_insensitive(true).build();
            let sentence = format!("{text:?} is no regular expression");
            built.map_err(|e| Error::new(ErrorKind::Label, sentence).caused_by(e))
        });
        let expected = Expected {
            answers: answers.collect::<Result<_>>()?,
            pattern: pattern.transpose()?,
        };
        if expected.answers.is_empty() && expected.pattern.is_none() {
            return Err(Error::new(ErrorKind::Label, "no answer is expected"));
        }
        Ok(expected)
    }

    /// Whether an answer says it.
    pub fn is_said(&self, answer: &str) -> bool {
        let words = apart(&Rule::Whisper.words(answer));
        let by_words = self.answers.iter().any(|expected| words.contains(expected));
        by_words || self.pattern.as_ref().is_some_and(|p| p.is_match(answer))
    }
}

fn words_of_label(answer: &str) -> Result<String> {
    match Rule::Whisper.words(answer) {
        words if words.is_empty() => {
            let sentence = format!("the expected answer {answer:?} has no words");
            Err(Error::new(ErrorKind::Label, sentence))
        }
        words => Ok(apart(&words)),
    }
}

/// Words that are whole wherever they are found.
fn apart(words: &str) -> String {
    format!(" {words} ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_right(answers: &[&str], pattern: Option<&str>, answer: &str) -> bool {
        let answers: Vec<String> = answers.iter().map(|&answer| answer.into()).collect();
        Expected::new(&answers, pattern)
            .expect("a label")
            .is_said(answer)
    }

    #[test]
    fn one_of_the_alternatives_is_enough_and_words_are_whole() {
        assert!(is_right(
            &["Paris"],
            None,
            "The capital of France is Paris."
        ));
        assert!(is_right(&["twenty one"], None, "It is 21."));
        assert!(is_right(&["no", "colour"], None, "What color?"));
        assert!(!is_right(&["art"], None, "Party!"));
        assert!(is_right(
            &[],
            Some("^the .* paris"),
            "The capital is Paris."
        ));
        assert!(!is_right(&["Rome"], Some("^paris"), "It is Paris."));
    }

    #[test]
    fn a_label_that_nothing_could_say_is_refused() {
        let refused = |answers: &[&str], pattern| {
            let answers: Vec<String> = answers.iter().map(|&answer| answer.into()).collect();
            Expected::new(&answers, pattern).is_err()
        };
        assert!(refused(&[], None));
        assert!(refused(&["Paris", " ?! "], None));
        assert!(refused(&[], Some("(")));
    }
}
