//! Where words begin and end, as Python's `\b` has it.

/// Letters that are accents on others: part of no word.
const ACCENTS: std::ops::RangeInclusive<char> = '\u{300}'..='\u{36f}';

/// Whether a character is part of a word.
fn is_word(c: char) -> bool {
    (c.is_alphanumeric() || c == '_') && !ACCENTS.contains(&c)
}

/// Puts `put` in the place of each `find` that ends where a word ends and, if `whole`, begins where a
/// word begins. The last character of `find` is part of a word.
pub fn replace(text: &str, find: &str, put: &str, whole: bool) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut copied = 0;
    let mut from = 0;
    while let Some(found) = text[from..].find(find).map(|at| from + at) {
        let end = found + find.len();
        let begins = !whole || !text[..found].ends_with(is_word);
        if begins && !text[end..].starts_with(is_word) {
            replaced += &text[copied..found];
            replaced += put;
            copied = end;
            from = end;
        } else {
            from = found + find.chars().next().map_or(1, char::len_utf8);
        }
    }
    replaced + &text[copied..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_are_replaced() {
        assert_eq!(
            replace("st. stop st", "st", "saint ", true),
            "saint . stop saint "
        );
        assert_eq!(replace("don't n'ts", "n't", " not", false), "do not n'ts");
        assert_eq!(replace("mmm mm", "mm", "", true), "mmm ");
    }
}
