//! Whisper's English normaliser, re-made: two texts that say the same become the same words.
//!
//! Word error rates are published after this normaliser, so it is held to what the original makes of a
//! few thousand sentences (`tests/normalizer.rs`), its oddities included: "ninth" stays a word, "one.5"
//! is what becomes of 1.5. The order of the steps is part of the definition.

mod amounts;
mod asides;
mod contractions;
mod numbers;
mod spelling;
mod symbols;
mod value;
mod words;

/// The text in lower case, without punctuation and asides, contractions in full, numbers in digits,
/// spelled the American way. Words stand apart by one space; there may be one at the end.
pub fn normalize(text: &str) -> String {
    let text = asides::remove(&text.to_lowercase());
    let text = contractions::expand(&text);
    let text = symbols::remove(&text);
    let text = numbers::in_digits(&text);
    let text = spelling::american(&text);
    symbols::remove_lone_signs(&text)
}
