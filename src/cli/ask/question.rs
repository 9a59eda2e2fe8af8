//! What is asked: sound or text, from a file, the command line or standard input.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use mini_omni::audio::{AudioError, Lasts, Limit, Recording, seconds_apart};
use mini_omni::model::MelDims;
use mini_omni::{Manifest, Omni, Options, Pcm, Question};

use super::Ask;
use crate::cli::output::is_stdio;
use crate::cli::terminal::say;

/// Bytes of a written question; no model takes as much.
const MOST_TEXT: u64 = 1 << 20;
/// What some editors put before a text.
const BYTE_ORDER_MARK: char = '\u{FEFF}';
/// Bytes that one may become where characters are composed (NFC).
const LONGEST_COMPOSED: usize = 3;
/// Ids around a written question, and some.
const MOST_MARKS: usize = 16;

impl Ask {
    /// What is asked, as a sentence calls it.
    pub fn asked(&self) -> String {
        match self.input.as_deref() {
            Some(path) => name(path),
            None => "the text".into(),
        }
    }

    /// The written question, if it is one.
    pub fn written(&self) -> Result<Option<String>> {
        let text = match (&self.text, &self.text_file) {
            (Some(text), _) if text != "-" => text.clone(),
            (Some(_), _) => read_text(Path::new("-"))?,
            (None, Some(path)) => read_text(path)?,
            (None, None) => return Ok(None),
        };
        if text.trim().is_empty() {
            bail!("the question has no words; write it behind --text, or into --text-file");
        }
        Ok(Some(text))
    }

    /// The question, once it is known that the model could take it.
    pub fn question(
        &self,
        written: Option<String>,
        options: &Options,
        manifest: &Manifest,
    ) -> Result<Question> {
        match (written, &self.input) {
            (Some(text), _) => {
                if self.special_tokens || could_be_too_long(&text, manifest) {
                    Omni::check_text(&self.model_dir, &text, options)?;
                }
                Ok(Question::Text(text))
            }
            (None, Some(path)) => self.spoken(path, &manifest.mel).map(Question::Audio),
            (None, None) => bail!("nothing was asked: give an audio file, or --text"),
        }
    }

    /// The model hears a fixed length; more is cut only when the person insists.
    fn spoken(&self, path: &Path, mel: &MelDims) -> Result<Pcm> {
        let hears = mel.max_seconds as f64;
        let limit = match self.max_seconds {
            Some(limit) => Limit::First(limit.min(hears)),
            None => Limit::AtMost(hears),
        };
        let recording = read_sound(path, limit).map_err(|error| match error {
            AudioError::TooLong { .. } => {
                anyhow!("{error}, or give --max-seconds {hears} to ask with its beginning")
            }
            error => error.into(),
        })?;
        if let Limit::First(limit) = limit {
            match recording.lasts {
                Lasts::Exactly(seconds) if seconds > limit => say(format_args!(
                    "note: hearing the first {limit} s of {} s",
                    seconds_apart(seconds, limit)
                )),
                Lasts::Exactly(_) => {}
                Lasts::MoreThan(_) => say(format_args!("note: hearing the first {limit} s")),
            }
        }
        Ok(recording.pcm)
    }
}

/// An id stands for at least a byte, so only a long text has to be counted, which takes as long as
/// opening a tokenizer.
fn could_be_too_long(text: &str, manifest: &Manifest) -> bool {
    LONGEST_COMPOSED * text.len() + MOST_MARKS > manifest.decoder.max_length
}

fn read_sound(path: &Path, limit: Limit) -> Result<Recording, AudioError> {
    match is_stdio(path) {
        true => limit.read_from(io::stdin(), &name(path)),
        false => limit.read(path),
    }
}

fn read_text(path: &Path) -> Result<String> {
    let name = name(path);
    let bytes = match is_stdio(path) {
        true => read_at_most(io::stdin(), MOST_TEXT, &name)?,
        false => {
            let file = File::open(path).with_context(|| format!("cannot read {name}"))?;
            read_at_most(file, MOST_TEXT, &name)?
        }
    };
    decode(bytes, &name)
}

/// The text without what its file adds: a byte order mark and the last line's end.
fn decode(bytes: Vec<u8>, name: &str) -> Result<String> {
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => bail!(
            "{name} is not text in UTF-8 (byte {} is not); write it again in UTF-8",
            error.utf8_error().valid_up_to() + 1
        ),
    };
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&text);
    let line = text.strip_suffix('\n').unwrap_or(text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_string())
}

fn read_at_most(from: impl Read, most: u64, name: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(most + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("cannot read {name}"))?;
    if bytes.len() as u64 > most {
        bail!("{name} is longer than {} MiB; no question is", most >> 20);
    }
    Ok(bytes)
}

fn name(path: &Path) -> String {
    match is_stdio(path) {
        true => "standard input".into(),
        false => path.display().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_taken_without_what_its_file_adds() {
        for (bytes, text) in [
            ("hi", "hi"),
            ("hi\n", "hi"),
            ("\u{FEFF}hi\r\n", "hi"),
            (" hi \n\n", " hi \n"),
            ("a\nb", "a\nb"),
        ] {
            assert_eq!(decode(bytes.into(), "it").expect("text"), text);
        }
        let error = decode(b"h\xFFi".to_vec(), "it").expect_err("no text");
        assert!(error.to_string().contains("byte 2"), "{error}");
    }

    #[test]
    fn an_endless_input_ends_in_a_sentence() {
        let error = read_at_most(io::repeat(0), MOST_TEXT, "it").expect_err("too long");
        assert_eq!(error.to_string(), "it is longer than 1 MiB; no question is");
        assert_eq!(read_at_most(&b"abc"[..], 3, "it").expect("all"), b"abc");
    }
}
