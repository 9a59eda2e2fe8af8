//! British spelling to American.

use std::collections::HashMap;
use std::sync::LazyLock;

/// A line a word: British, tab, American. From openai-whisper; NOTICE has its licence.
static SPELLINGS: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| {
    let lines = include_str!("spellings.tsv").lines();
    lines.filter_map(|line| line.split_once('\t')).collect()
});

/// Each word in its American spelling.
pub fn american(text: &str) -> String {
    let words = text.split_whitespace();
    let american: Vec<&str> = words
        .map(|word| SPELLINGS.get(word).copied().unwrap_or(word))
        .collect();
    american.join(" ")
}
