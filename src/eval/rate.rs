//! Errors of a text: the fewest edits that make the label of it (Levenshtein).

use serde::{Deserialize, Serialize};

/// What is wrong with a text, in words or in characters. Sums of several texts are such errors, too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errors {
    /// Others in the place of the label's.
    pub substitutions: usize,
    /// Of the label, missing in the text.
    pub deletions: usize,
    /// In the text, not in the label.
    pub insertions: usize,
    /// In the label.
    pub of: usize,
}

impl Errors {
    /// Errors in words, between texts whose words stand apart by white space.
    pub fn in_words(label: &str, text: &str) -> Errors {
        let words = |text: &str| {
            text.split_whitespace()
                .map(String::from)
                .collect::<Vec<_>>()
        };
        Errors::between(&words(label), &words(text))
    }

    /// Errors in characters, spaces among them.
    pub fn in_characters(label: &str, text: &str) -> Errors {
        let characters = |text: &str| text.chars().collect::<Vec<_>>();
        Errors::between(&characters(label), &characters(text))
    }

    /// A row of the table is kept: entry `j` is the way from the label so far to the first `j` of the
    /// text.
    fn between<T: PartialEq>(label: &[T], text: &[T]) -> Errors {
        let inserted = |insertions| Errors {
            insertions,
            ..Errors::default()
        };
        let mut row: Vec<Errors> = (0..=text.len()).map(inserted).collect();
        for of_label in label {
            let mut diagonal = row[0];
            row[0].deletions += 1;
            for (j, of_text) in text.iter().enumerate() {
                let mut ways = [diagonal, row[j + 1], row[j]];
                ways[0].substitutions += usize::from(of_label != of_text);
                ways[1].deletions += 1;
                ways[2].insertions += 1;
                diagonal = row[j + 1];
                let [first, rest @ ..] = ways;
                row[j + 1] = rest.into_iter().fold(first, Errors::fewer);
            }
        }
        let mut errors = row[text.len()];
        errors.of = label.len();
        errors
    }

    fn fewer(self, other: Errors) -> Errors {
        if other.total() < self.total() {
            other
        } else {
            self
        }
    }

    /// All of them.
    pub fn total(&self) -> usize {
        self.substitutions + self.deletions + self.insertions
    }

    /// Errors a word (or character) of the label, above 1 where much is inserted; `None` of an empty
    /// label.
    pub fn rate(&self) -> Option<f64> {
        (self.of > 0).then(|| self.total() as f64 / self.of as f64)
    }

    /// Of two texts together.
    pub fn and(self, other: Errors) -> Errors {
        Errors {
            substitutions: self.substitutions + other.substitutions,
            deletions: self.deletions + other.deletions,
            insertions: self.insertions + other.insertions,
            of: self.of + other.of,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fewest_edits_are_counted_by_kind() {
        for (label, text, [substitutions, deletions, insertions]) in [
            ("a b c", "a b c", [0, 0, 0]),
            ("a b c", "a x c", [1, 0, 0]),
            ("a b c", "a c", [0, 1, 0]),
            ("a b c", "a b b c", [0, 0, 1]),
            ("a b c", "", [0, 3, 0]),
            ("", "a", [0, 0, 1]),
            ("a b c d", "b c d e", [0, 1, 1]),
        ] {
            let errors = Errors::in_words(label, text);
            let found = [errors.substitutions, errors.deletions, errors.insertions];
            assert_eq!(
                found,
                [substitutions, deletions, insertions],
                "{label:?} {text:?}"
            );
            assert_eq!(errors.of, label.split_whitespace().count());
        }
        assert_eq!(Errors::in_characters("kitten", "sitting").total(), 3);
        assert_eq!(Errors::in_words("", "a").rate(), None);
        assert_eq!(Errors::in_words("a b", "x y z").rate(), Some(1.5));
    }
}
