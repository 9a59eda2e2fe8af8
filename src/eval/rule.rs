//! When two texts count as the same.

use super::english;

/// What is made of a text before its words are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rule {
    /// Whisper's English normaliser: numbers in digits, contractions in full, American spelling. Most
    /// published word error rates are made so.
    Whisper,
    /// What the original Mini-Omni does to a transcription: lower case, without `,`, `.` and `?`.
    Original,
}

impl Rule {
    /// The normalised text. The same words may stand apart by other white space.
    pub fn normalize(self, text: &str) -> String {
        match self {
            Rule::Whisper => english::normalize(text),
            Rule::Original => text.to_lowercase().replace([',', '.', '?'], ""),
        }
    }

    /// The words of the normalised text, apart by one space.
    pub fn words(self, text: &str) -> String {
        let normal = self.normalize(text);
        normal.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_originals_rule_is_the_simpler_one() {
        let text = "Mr. Smith, isn't it  $20?";
        assert_eq!(Rule::Original.words(text), "mr smith isn't it $20");
        assert_eq!(Rule::Whisper.words(text), "mister smith is not it $20");
    }
}
