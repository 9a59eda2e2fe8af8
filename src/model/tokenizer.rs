//! Text to ids and back, also while the ids are still coming.
//!
//! The tokenizer is byte-level: a character can be split over several ids, so streamed text is held
//! back until its bytes make whole characters.

use std::path::Path;
use std::sync::OnceLock;

use super::manifest::{Manifest, SpecialIds};
use crate::error::{Error, ErrorKind, Result};

/// Stands in decoded text for bytes that are no whole character (yet).
const REPLACEMENT: char = '\u{FFFD}';
/// Ids looked back at when streaming: more than any character is split over.
const LOOK_BACK: usize = 8;

/// The model's tokenizer.
pub(crate) struct Tokenizer {
    /// Takes special tokens in a text for words like others.
    tokenizer: tokenizers::Tokenizer,
    /// Lets them act; made when first asked for.
    acting: OnceLock<tokenizers::Tokenizer>,
    ids: SpecialIds,
}

impl Tokenizer {
    /// Reads the tokenizer of the model in `folder`.
    pub fn open(folder: &Path, manifest: &Manifest) -> Result<Tokenizer> {
        let path = folder.join(&manifest.tokenizer);
        let mut tokenizer = tokenizers::Tokenizer::from_file(&path).map_err(|e| {
            let sentence = format!(
                "{} is no tokenizer this runtime can read: {e}",
                path.display()
            );
            Error::new(ErrorKind::Model, sentence)
        })?;
        tokenizer.set_encode_special_tokens(true);
        Ok(Tokenizer {
            tokenizer,
            acting: OnceLock::new(),
            ids: manifest.ids.clone(),
        })
    }

    /// The ids of a written question, with nothing put before or after. `special_tokens`: whether
    /// special tokens in the text act as such; else they are words like others.
    pub fn encode(&self, text: &str, special_tokens: bool) -> Result<Vec<i64>> {
        if text.trim().is_empty() {
            return Err(no_words("the question has no words"));
        }
        let tokenizer = match special_tokens {
            true => self.acting.get_or_init(|| self.acting_copy()),
            false => &self.tokenizer,
        };
        let encoding = tokenizer
            .encode(text, false)
            .map_err(|e| no_words(&format!("the question cannot be put into ids: {e}")))?;
        let ids: Vec<i64> = encoding.get_ids().iter().map(|&id| i64::from(id)).collect();
        match ids.iter().find(|&&id| id >= self.ids.eot) {
            Some(id) => {
                let last = self.ids.eot - 1;
                let sentence = format!(
                    "the tokenizer makes id {id}, the model's text ids end at {last}; tokenizer.json belongs to another model"
                );
                Err(Error::new(ErrorKind::Model, sentence))
            }
            None if ids.is_empty() => Err(no_words("the question has no words the model knows")),
            None => Ok(ids),
        }
    }

    fn acting_copy(&self) -> tokenizers::Tokenizer {
        let mut tokenizer = self.tokenizer.clone();
        tokenizer.set_encode_special_tokens(false);
        tokenizer
    }

    /// The text of answer ids: cut at eot, special ids left out.
    pub fn decode(&self, ids: &[i64]) -> String {
        let words: Vec<u32> = ids
            .iter()
            .take_while(|&&id| id != self.ids.eot)
            .filter(|&&id| id < self.ids.eot)
            .map(|&id| id as u32)
            .collect();
        self.tokenizer.decode(&words, true).unwrap_or_default()
    }

    /// A decoder for ids that come one by one.
    pub fn stream(&self) -> TextStream<'_> {
        TextStream {
            tokenizer: self,
            ids: Vec::new(),
            given: 0,
            ended: false,
        }
    }
}

fn no_words(sentence: &str) -> Error {
    Error::new(ErrorKind::NoWords, sentence)
}

/// Text being written, given out in whole characters.
pub(crate) struct TextStream<'a> {
    tokenizer: &'a Tokenizer,
    ids: Vec<i64>,
    /// Ids whose text was given out.
    given: usize,
    ended: bool,
}

impl TextStream<'_> {
    /// Takes the next id; returns the text it completes, if any.
    pub fn push(&mut self, id: i64) -> Option<String> {
        if self.ended || id == self.tokenizer.ids.eot {
            self.ended = true;
            return None;
        }
        self.ids.push(id);
        let piece = self.pending();
        if piece.is_empty() || piece.ends_with(REPLACEMENT) {
            return None;
        }
        self.given = self.ids.len();
        Some(piece)
    }

    /// What is still held back at the end.
    pub fn finish(&mut self) -> Option<String> {
        let piece = self.pending();
        self.given = self.ids.len();
        (!piece.is_empty()).then_some(piece)
    }

    /// Text of the ids not given out, decoded behind a few that were, since what a byte sequence
    /// means depends on what stands before it.
    fn pending(&self) -> String {
        let start = self.given.saturating_sub(LOOK_BACK);
        let before = self.tokenizer.decode(&self.ids[start..self.given]);
        let all = self.tokenizer.decode(&self.ids[start..]);
        all.strip_prefix(before.as_str())
            .unwrap_or_default()
            .to_string()
    }
}
