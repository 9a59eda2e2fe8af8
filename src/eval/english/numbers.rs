//! Numbers in words to numbers in digits, read from left to right.
//!
//! "twenty one" is one number and "one twenty one" another: what a word does depends on what was said of
//! the number so far ([`Value`]) and on the words beside it. Currencies and "minus" are written before
//! their number.

use std::sync::LazyLock;

use regex::Regex;

use super::amounts::Role;
use super::asides::pattern;
use super::value::{Value, without_leading_zeros};

const CURRENCIES: [char; 4] = ['£', '€', '$', '¢'];

/// The text with its numbers in digits.
pub fn in_digits(text: &str) -> String {
    let text = apart(&halves(text));
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut reader = Reader {
        words: &words,
        ..Reader::default()
    };
    let mut at = 0;
    while at < words.len() {
        at += reader.read(at);
    }
    reader.end();
    cents(&reader.said.join(" "))
}

static HALF: LazyLock<Regex> = LazyLock::new(|| pattern(r"\band\s+a\s+half\b"));
static LETTER_DIGIT: LazyLock<Regex> = LazyLock::new(|| pattern(r"([a-z])([0-9])"));
static DIGIT_LETTER: LazyLock<Regex> = LazyLock::new(|| pattern(r"([0-9])([a-z])"));
static ENDING: LazyLock<Regex> = LazyLock::new(|| pattern(r"([0-9])\s+(st|nd|rd|th|s)\b"));
static AND_CENTS: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"([€£$])([0-9]+) (?:and )?¢([0-9]{1,2})\b"));
static ONLY_CENTS: LazyLock<Regex> = LazyLock::new(|| pattern(r"[€£$]0.([0-9]{1,2})\b"));
static ONE: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b1(s?)\b"));

/// "two and a half" is "two point five".
fn halves(text: &str) -> String {
    let parts: Vec<&str> = HALF.split(text).collect();
    let mut said = Vec::new();
    for (i, part) in parts.iter().enumerate() {
        let Some(last) = part.split_whitespace().last() else {
            continue;
        };
        said.push(*part);
        if i + 1 < parts.len() {
            let is_number = Role::of(last).is_some_and(|r| r.is_decimal() || r.is_power());
            said.push(if is_number {
                "point five"
            } else {
                "and a half"
            });
        }
    }
    said.join(" ")
}

/// Letters and digits apart, but "1960s" and "32nd" whole.
fn apart(text: &str) -> String {
    let text = LETTER_DIGIT.replace_all(text, "$1 $2");
    let text = DIGIT_LETTER.replace_all(&text, "$1 $2");
    ENDING.replace_all(&text, "$1$2").into_owned()
}

/// "$2 and ¢7" is "$2.07", "$0.07" is "¢7", and a lone 1 is a word.
fn cents(text: &str) -> String {
    let two = |digits: &str| format!("{digits:0>2}");
    let text = AND_CENTS.replace_all(text, |found: &regex::Captures| {
        format!("{}{}.{}", &found[1], &found[2], two(&found[3]))
    });
    let text = ONLY_CENTS.replace_all(&text, |found: &regex::Captures| {
        format!("¢{}", without_leading_zeros(&found[1]))
    });
    ONE.replace_all(&text, "one$1").into_owned()
}

/// Reads words; what it has understood is in `said`.
#[derive(Default)]
struct Reader<'a> {
    words: &'a [&'a str],
    said: Vec<String>,
    /// Stands before what is said next.
    sign: Option<char>,
    value: Option<Value>,
}

impl Reader<'_> {
    /// Reads the word at `at`; returns how many words that took.
    fn read(&mut self, at: usize) -> usize {
        let word = self.words[at];
        let figures = word.strip_prefix(CURRENCIES).unwrap_or(word);
        if is_number(figures) {
            self.figures(word, figures);
            return 1;
        }
        let before = at.checked_sub(1).and_then(|at| Role::of(self.words[at]));
        match Role::of(word) {
            None => self.word(word),
            Some(Role::Zero) => self.follow("0"),
            Some(Role::Amount(n, ending)) => self.amount(n, ending, before),
            Some(Role::Power(zeros, ending)) => self.power(zeros, ending),
            Some(Role::Sign(sign)) => self.sign(word, sign, at),
            Some(Role::Currency(sign)) => self.currency(word, sign),
            Some(Role::Percent) => self.percent(word),
            Some(Role::Per) => return self.per(at),
            Some(_) if !self.next_may_be_a_number(at) => self.word(word),
            Some(Role::And) if before.is_some_and(Role::is_power) => {}
            Some(Role::And) => self.word(word),
            Some(Role::Repeat(times)) => return self.repeat(at, times),
            Some(Role::Point) => self.point(at),
        }
        1
    }

    /// A word of the text that is said, with the sign that waits for one.
    fn say(&mut self, word: &str) {
        let sign = self.sign.take().map(String::from).unwrap_or_default();
        self.said.push(sign + word);
        self.value = None;
    }

    /// Says the number, if there is one.
    fn end(&mut self) {
        if let Some(value) = self.value.take() {
            self.say(value.text());
        }
    }

    /// A word that is no part of a number.
    fn word(&mut self, word: &str) {
        self.end();
        self.say(word);
    }

    fn figures(&mut self, word: &str, figures: &str) {
        match &mut self.value {
            Some(Value::Figures(said)) if said.ends_with('.') => *said += word,
            _ => {
                self.end();
                self.sign = word
                    .chars()
                    .next()
                    .filter(|c| CURRENCIES.contains(c))
                    .or(self.sign);
                self.value = Some(Value::written(figures));
            }
        }
    }

    fn follow(&mut self, figures: &str) {
        self.value = Some(Value::followed_by(self.value.take(), figures));
    }

    fn amount(&mut self, n: u32, ending: &str, before: Option<Role>) {
        self.value = Some(Value::with(self.value.take(), n, before));
        self.end_with(ending);
    }

    fn power(&mut self, zeros: usize, ending: &str) {
        let product = self.value.as_ref().map(|value| value.times_power(zeros));
        if let Some(None) = product {
            self.end();
        }
        let value = product.flatten().map(Value::Whole);
        self.value = Some(value.unwrap_or_else(|| Value::power(zeros)));
        self.end_with(ending);
    }

    /// An ending says the number at once.
    fn end_with(&mut self, ending: &str) {
        if let (false, Some(value)) = (ending.is_empty(), &self.value) {
            self.say(&format!("{}{ending}", value.text()));
        }
    }

    fn sign(&mut self, word: &str, sign: char, at: usize) {
        self.end();
        match self.next_may_be_a_number(at) {
            true => self.sign = Some(sign),
            false => self.say(word),
        }
    }

    fn currency(&mut self, word: &str, sign: char) {
        if self.value.is_none() {
            return self.say(word);
        }
        self.sign = Some(sign);
        self.end();
    }

    fn percent(&mut self, word: &str) {
        match &self.value {
            Some(value) => self.say(&format!("{}%", value.text())),
            None => self.say(word),
        }
    }

    fn per(&mut self, at: usize) -> usize {
        let is_percent = self.words.get(at + 1) == Some(&"cent");
        if self.value.is_some() && is_percent {
            self.percent("per");
            return 2;
        }
        self.word("per");
        1
    }

    /// "double oh", "triple seven".
    fn repeat(&mut self, at: usize, times: usize) -> usize {
        let figure = match self.next_role(at) {
            Some(Role::Zero) => 0,
            Some(Role::Amount(n, "")) if n < 20 => n,
            _ => {
                self.word(self.words[at]);
                return 1;
            }
        };
        self.follow(&figure.to_string().repeat(times));
        2
    }

    fn point(&mut self, at: usize) {
        let is_decimal = self.next_role(at).is_some_and(Role::is_decimal);
        if is_decimal || self.next_is_figures(at) {
            self.follow(".");
        }
    }

    fn next_role(&self, at: usize) -> Option<Role> {
        self.words.get(at + 1).and_then(|word| Role::of(word))
    }

    fn next_is_figures(&self, at: usize) -> bool {
        self.words.get(at + 1).is_some_and(|word| is_number(word))
    }

    fn next_may_be_a_number(&self, at: usize) -> bool {
        self.next_role(at).is_some() || self.next_is_figures(at)
    }
}

/// Digits, and maybe a point and more digits.
fn is_number(word: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match word.split_once('.') {
        Some((whole, decimals)) => digits(whole) && digits(decimals),
        None => digits(word),
    }
}
