//! Text to ids and back, also while the ids are still coming.
//!
//! The tokenizer is byte-level: a character can be split over several ids, so streamed text is held
//! back until its bytes make whole characters.

use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::manifest::{Manifest, SpecialIds};
use super::{guard, names, outline};
use crate::error::{Error, ErrorKind, Result};
use crate::fence::caught;

/// Stands in decoded text for bytes that are no whole character (yet).
const REPLACEMENT: char = '\u{FFFD}';
/// Ids looked back at when streaming: more than any character is split over.
const LOOK_BACK: usize = 8;
/// Bytes of a question for each position of the model: words have 4 or 5.
const BYTES_A_POSITION: usize = 32;
/// Bytes of the longest question, whatever the model's length.
const LONGEST_QUESTION: usize = 1 << 20;
/// Bytes that one id may stand for; the published model's longest is 128 blanks.
const LONGEST_WORD: usize = 4096;
/// Reading a tokenizer takes up to a second, putting a question into ids some milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// The model's tokenizer.
pub(crate) struct Tokenizer {
    /// Takes special tokens in a text for words like others.
    tokenizer: Arc<tokenizers::Tokenizer>,
    /// Lets them act; made when first asked for.
    acting: OnceLock<Arc<tokenizers::Tokenizer>>,
    ids: SpecialIds,
    /// Bytes of the longest question.
    longest: usize,
}

/// Refuses the bytes of a tokenizer.json that the model of `manifest` cannot use: they must be read,
/// put `text` into the model's ids and put these back into text.
pub fn check_tokenizer(json: &[u8], manifest: &Manifest, text: &str) -> Result<()> {
    let tokenizer = Tokenizer::from_json(json, manifest)?;
    let ids = tokenizer.encode(text, true)?;
    tokenizer.decode(&ids);
    Ok(())
}

impl Tokenizer {
    /// Reads the tokenizer of the model in `folder`.
    pub fn open(folder: &Path, manifest: &Manifest) -> Result<Tokenizer> {
        let path = folder.join(&manifest.tokenizer);
        let json = fs::read(&path).map_err(Error::unreadable(&path))?;
        Tokenizer::read(json, manifest).map_err(|why| unusable(&path.display().to_string(), &why))
    }

    /// The same from the bytes of the file.
    pub fn from_json(json: &[u8], manifest: &Manifest) -> Result<Tokenizer> {
        let name = &manifest.tokenizer;
        Tokenizer::read(json.to_vec(), manifest).map_err(|why| unusable(name, &why))
    }

    fn read(json: Vec<u8>, manifest: &Manifest) -> Result<Tokenizer, String> {
        let vocab = manifest.ids.text_vocab_size;
        outline::check(&json, vocab)?;
        let mut tokenizer = guard::caught_within(PATIENCE, || {
            tokenizers::Tokenizer::from_bytes(json).map_err(|e| e.to_string())
        })
        .flatten()?;
        caught(|| check_words(&tokenizer, vocab)).flatten()?;
        tokenizer.set_encode_special_tokens(true);
        // A question is put into ids as it is: nothing cut off, put around it or said twice.
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|e| e.to_string())?;
        tokenizer.with_post_processor(None::<tokenizers::PostProcessorWrapper>);
        let positions = manifest.decoder.max_length;
        Ok(Tokenizer {
            tokenizer: Arc::new(tokenizer),
            acting: OnceLock::new(),
            ids: manifest.ids.clone(),
            longest: (positions.saturating_mul(BYTES_A_POSITION)).min(LONGEST_QUESTION),
        })
    }

    /// The ids of a written question, with nothing put before or after. `special_tokens`: whether
    /// special tokens in the text act as such; else they are words like others.
    pub fn encode(&self, text: &str, special_tokens: bool) -> Result<Vec<i64>> {
        if text.trim().is_empty() {
            return Err(no_words("the question has no words"));
        }
        if text.len() > self.longest {
            let sentence = format!(
                "the question has {} bytes of text, and the model\'s positions hold {} at most; ask something shorter",
                text.len(),
                self.longest
            );
            return Err(Error::new(ErrorKind::TooLong, sentence));
        }
        let ids = self.ids_of(text, special_tokens).map_err(|why| {
            let why = names::one_line(&why);
            no_words(&format!("the question cannot be put into ids: {why}"))
        })?;
        match ids.iter().find(|&&id| id >= self.ids.eot) {
            Some(id) => {
                let last = self.ids.eot - 1;
                let sentence = format!(
                    "the tokenizer makes id {id}, the model\'s text ids end at {last}; tokenizer.json belongs to another model"
                );
                Err(Error::new(ErrorKind::Model, sentence))
            }
            None if ids.is_empty() => Err(no_words("the question has no words the model knows")),
            None => Ok(ids),
        }
    }

    fn ids_of(&self, text: &str, special_tokens: bool) -> Result<Vec<i64>, String> {
        let tokenizer = match special_tokens {
            true => self.acting.get_or_init(|| self.acting_copy()),
            false => &self.tokenizer,
        };
        let (tokenizer, text) = (tokenizer.clone(), text.to_string());
        guard::caught_within(PATIENCE, move || {
            let encoding = tokenizer.encode(text, false).map_err(|e| e.to_string())?;
            Ok(encoding.get_ids().iter().map(|&id| i64::from(id)).collect())
        })
        .flatten()
    }

    fn acting_copy(&self) -> Arc<tokenizers::Tokenizer> {
        let mut tokenizer = (*self.tokenizer).clone();
        tokenizer.set_encode_special_tokens(false);
        Arc::new(tokenizer)
    }

    /// The text of answer ids: cut at eot, special ids left out. Ids that the tokenizer cannot put
    /// into text have none.
    pub fn decode(&self, ids: &[i64]) -> String {
        let words: Vec<u32> = ids
            .iter()
            .take_while(|&&id| id != self.ids.eot)
            .filter(|&&id| id < self.ids.eot)
            .map(|&id| id as u32)
            .collect();
        let decoded = caught(|| self.tokenizer.decode(&words, true));
        decoded.ok().and_then(Result::ok).unwrap_or_default()
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

/// No id may stand for more text than a word has, and there are no more of them than the model has.
fn check_words(tokenizer: &tokenizers::Tokenizer, vocab: usize) -> Result<(), String> {
    let words = tokenizer.get_vocab_size(true);
    if words > vocab {
        return Err(format!(
            "it has {words} words, ids.text_vocab_size of the manifest is {vocab}; it belongs to another model"
        ));
    }
    let long = |id: &u32| {
        let word = tokenizer.id_to_token(*id);
        word.is_some_and(|word| word.len() > LONGEST_WORD)
    };
    match (0..vocab as u32).find(long) {
        Some(id) => Err(format!(
            "its id {id} stands for more than {LONGEST_WORD} bytes of text"
        )),
        None => Ok(()),
    }
}

fn unusable(file: &str, why: &str) -> Error {
    let sentence = format!(
        "{file} is no tokenizer this runtime can use: {}; copy or export the model folder again",
        names::one_line(why)
    );
    Error::new(ErrorKind::Model, sentence)
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
