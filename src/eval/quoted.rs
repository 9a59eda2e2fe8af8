//! Labels in sentences.

/// Characters of a label that are shown.
const SHOWN: usize = 60;

/// A text between quotation marks, in one line; of a long one the beginning.
pub fn quoted(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?} and so on", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_shown_in_its_beginning() {
        assert_eq!(quoted("two\nlines"), "\"two\\nlines\"");
        let whole = "\u{e9}".repeat(SHOWN);
        assert_eq!(quoted(&whole), format!("{whole:?}"));
        assert_eq!(
            quoted(&(whole.clone() + "x")),
            format!("{whole:?} and so on")
        );
    }
}
