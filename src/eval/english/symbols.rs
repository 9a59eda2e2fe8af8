//! Marks that are no words: punctuation, symbols, accents.

use std::sync::LazyLock;

use regex::Regex;
use unicode_normalization::UnicodeNormalization;

use super::asides::pattern;

/// Signs that numbers may need.
const KEPT: [char; 6] = ['.', '%', '$', '¢', '€', '£'];

static COMMA_IN_NUMBER: LazyLock<Regex> = LazyLock::new(|| pattern(r"(\d),(\d)"));
static PERIOD: LazyLock<Regex> = LazyLock::new(|| pattern(r"\.([^0-9]|$)"));
static ACCENTS: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\p{Mn}$"));
static MARKS: LazyLock<Regex> = LazyLock::new(|| pattern(r"^[\p{M}\p{S}\p{P}]$"));
static LONE_SIGN: LazyLock<Regex> = LazyLock::new(|| pattern(r"[.$¢€£]([^0-9])"));
static LONE_PERCENT: LazyLock<Regex> = LazyLock::new(|| pattern(r"([^0-9])%"));
static SPACE: LazyLock<Regex> = LazyLock::new(|| pattern(r"\s+"));

/// Removes accents; all other marks become spaces but for the signs that numbers may need.
pub fn remove(text: &str) -> String {
    let text = COMMA_IN_NUMBER.replace_all(text, "$1$2");
    let text = PERIOD.replace_all(&text, " $1");
    let mut plain = String::with_capacity(text.len());
    for c in text.nfkd() {
        match letters(c) {
            Some(letters) => plain += letters,
            None if c.is_ascii_alphanumeric() || KEPT.contains(&c) => plain.push(c),
            None => push_plain(&mut plain, c),
        }
    }
    plain
}

fn push_plain(plain: &mut String, c: char) {
    let mut buffer = [0; 4];
    let one = c.encode_utf8(&mut buffer);
    if ACCENTS.is_match(one) {
        return;
    }
    plain.push(if MARKS.is_match(one) { ' ' } else { c });
}

/// The letters that stand for one that Unicode does not take apart.
fn letters(c: char) -> Option<&'static str> {
    Some(match c {
        'œ' => "oe",
        'Œ' => "OE",
        'ø' => "o",
        'Ø' => "O",
        'æ' => "ae",
        'Æ' => "AE",
        'ß' => "ss",
        'ẞ' => "SS",
        'đ' | 'ð' => "d",
        'Đ' | 'Ð' => "D",
        'þ' | 'Þ' => "th",
        'ł' => "l",
        'Ł' => "L",
        _ => return None,
    })
}

/// Removes signs that stand by no number, and makes all white space single.
pub fn remove_lone_signs(text: &str) -> String {
    let text = LONE_SIGN.replace_all(text, " $1");
    let text = LONE_PERCENT.replace_all(&text, "$1 ");
    SPACE.replace_all(&text, " ").into_owned()
}
