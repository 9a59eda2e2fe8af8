//! What was not said, or only between the words: brackets with what they hold, and hesitation.

use std::sync::LazyLock;

use regex::Regex;

use super::words::replace;

const HESITATIONS: [&str; 6] = ["hmm", "mm", "mhm", "mmm", "uh", "um"];

/// Removes brackets of any kind with what is between, and hesitation.
pub fn remove(text: &str) -> String {
    // The control characters that Python takes for white space, and Rust does not.
    let text = text.replace(['\x1c', '\x1d', '\x1e', '\x1f'], " ");
    let text = BRACKETS.replace_all(&text, "");
    let text = PARENTHESES.replace_all(&text, "").into_owned();
    let text = HESITATIONS
        .iter()
        .fold(text, |text, sound| replace(&text, sound, "", true));
    SPACE_BEFORE_APOSTROPHE.replace_all(&text, "'").into_owned()
}

static BRACKETS: LazyLock<Regex> = LazyLock::new(|| pattern(r"[<\[][^>\]]*[>\]]"));
static PARENTHESES: LazyLock<Regex> = LazyLock::new(|| pattern(r"\([^)]+\)"));
static SPACE_BEFORE_APOSTROPHE: LazyLock<Regex> = LazyLock::new(|| pattern(r"\s+'"));

/// A pattern of this module's own.
pub fn pattern(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern that tests have compiled")
}
