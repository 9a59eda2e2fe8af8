//! What an answer has to say to be right.

use regex::{Regex, RegexBuilder};

use super::{Rule, quoted};
use crate::error::{Error, ErrorKind, Result};

/// Bytes of a pattern. Reading one takes some hundred times as much memory.
const LONGEST: usize = 100_000;

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
        let expected = Expected {
            answers: answers.collect::<Result<_>>()?,
            pattern: pattern.map(compiled).transpose()?,
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

fn compiled(pattern: &str) -> Result<Regex> {
    let shown = quoted(pattern);
    let too_large =
        format!("the pattern {shown} is too large; make it shorter, or several rows of it");
    if pattern.len() > LONGEST {
        return Err(Error::new(ErrorKind::Label, too_large));
    }
    let built = RegexBuilder::new(pattern).case_insensitive(true).build();
    built.map_err(|fault| {
        let sentence = match &fault {
            regex::Error::CompiledTooBig(_) => too_large,
            fault => format!("{shown} is no regular expression: {}", last_line(fault)),
        };
        Error::new(ErrorKind::Label, sentence)
    })
}

/// Of a fault, whose first lines are the pattern and a mark below it.
fn last_line(fault: &regex::Error) -> String {
    let said = fault.to_string();
    let last = said.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").into()
}

fn words_of_label(answer: &str) -> Result<String> {
    match Rule::Whisper.words(answer) {
        words if words.is_empty() => {
            let sentence = format!("the expected answer {} has no words", quoted(answer));
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

    #[test]
    fn a_refused_pattern_is_called_what_it_is_and_not_repeated() {
        let refusal = |pattern: &str| {
            let fault = Expected::new(&[], Some(pattern)).expect_err("no pattern");
            fault.to_string()
        };
        let said = refusal("a(b");
        assert_eq!(said, "\"a(b\" is no regular expression: unclosed group");
        let long = "x".repeat(200_000);
        for pattern in ["(a{1000}){1000}", &long] {
            let said = refusal(pattern);
            assert!(said.contains("is too large"), "{said}");
            assert!(said.len() < 200, "{said}");
        }
        let said = refusal(&("(".to_string() + &long[..1000]));
        assert!(said.contains("no regular expression: unclosed"), "{said}");
        assert!(said.len() < 200 && !said.contains('\n'), "{said}");
    }
}
