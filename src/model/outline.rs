//! A tokenizer.json looked over before the tokenizer's crate reads it.
//!
//! The file says by how much a text may grow (what replaces what, what is put in front), how large its
//! tables are and which patterns are searched for. All of it is bounded here, so that no text of a
//! question or an answer becomes a gigabyte; what is slow in spite of it is given up by `guard`.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

type Check = std::result::Result<(), String>;

/// Bytes of a tokenizer.json: the largest known ones have 35 million.
const LARGEST: usize = 64 << 20;
/// Parts of a normalizer, pre_tokenizer or decoder; the largest known have about 50.
const MOST_PARTS: usize = 1024;
/// Bytes of a pattern or a replacement; the published pattern has 120.
const LONGEST_PATTERN: usize = 4096;
/// Bytes of a table of characters, as SentencePiece models bring one of 300 thousand.
const LARGEST_CHARSMAP: usize = 4 << 20;
/// Times its length that a text may grow to by replacements: LLaMA's triple blanks.
const MOST_GROWTH: usize = 64;
/// Bytes of an added token.
const LONGEST_TOKEN: usize = 1024;

/// What is looked at; all else is skipped.
#[derive(Deserialize)]
struct Outline {
    #[serde(default)]
    added_tokens: Vec<Added>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    decoder: Value,
    model: Model,
}

#[derive(Deserialize)]
struct Added {
    id: u64,
    content: String,
}

#[derive(Deserialize)]
struct Model {
    #[serde(default)]
    vocab: Count,
    #[serde(default)]
    merges: Count,
}

/// Entries of a table or list, which are not kept.
#[derive(Default)]
struct Count(usize);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Count, D::Error> {
        deserializer.deserialize_any(Count(0))
    }
}

impl<'de> Visitor<'de> for Count {
    type Value = Count;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a table or a list")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Count, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            self.0 += 1;
        }
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Count, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {
            self.0 += 1;
        }
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Count, E> {
        Ok(self)
    }
}

/// Refuses a tokenizer that could not belong to a model of `vocab` text ids, or that makes texts grow.
pub(super) fn check(json: &[u8], vocab: usize) -> Check {
    if json.len() > LARGEST {
        let n = json.len();
        return Err(format!("it has {n} bytes, {LARGEST} at most make sense"));
    }
    let outline: Outline = serde_json::from_slice(json).map_err(|e| e.to_string())?;
    tables(&outline, vocab)?;
    for (what, part) in [
        ("normalizer", &outline.normalizer),
        ("pre_tokenizer", &outline.pre_tokenizer),
        ("decoder", &outline.decoder),
    ] {
        let mut bounds = Bounds {
            parts: 0,
            growth: 1,
            patterns: what != "decoder", // a decoder runs in every step
        };
        bounds
            .look_at(part)
            .map_err(|why| format!("its {what} {why}"))?;
    }
    Ok(())
}

fn tables(outline: &Outline, vocab: usize) -> Check {
    let Outline {
        model,
        added_tokens: added,
        ..
    } = outline;
    // Merges are pairs of words, each of which makes another; some files list a few pairs twice.
    for (what, found, most) in [
        ("words", model.vocab.0, vocab),
        ("added tokens", added.len(), vocab),
        ("merges", model.merges.0, vocab.saturating_mul(4)),
    ] {
        if found > most {
            return Err(format!(
                "it has {found} {what}, and ids.text_vocab_size of the manifest, {vocab}, leaves room for {most}; it belongs to another model"
            ));
        }
    }
    let outside = |token: &&Added| token.id >= vocab as u64;
    if let Some(token) = added.iter().find(outside) {
        return Err(format!(
            "its added token {:?} has the id {}, ids.text_vocab_size of the manifest is {vocab}; it belongs to another model",
            token.content, token.id
        ));
    }
    match added
        .iter()
        .find(|token| token.content.len() > LONGEST_TOKEN)
    {
        Some(token) => Err(format!("its added token {} is too long", token.id)),
        None => Ok(()),
    }
}

/// What a part and the parts in it have come to.
struct Bounds {
    parts: usize,
    /// Times its length that a text can grow to.
    growth: usize,
    /// Whether patterns may be searched for.
    patterns: bool,
}

impl Bounds {
    fn look_at(&mut self, value: &Value) -> Check {
        self.parts += 1;
        if self.parts > MOST_PARTS {
            return Err(format!("has more than {MOST_PARTS} parts"));
        }
        match value {
            Value::String(text) if text.len() > LONGEST_PATTERN => {
                Err(format!("has a text of {} bytes", text.len()))
            }
            Value::Array(values) => values.iter().try_for_each(|value| self.look_at(value)),
            Value::Object(fields) => {
                self.replacement(value)?;
                fields
                    .iter()
                    .filter(|(name, value)| !is_charsmap(name, value))
                    .try_for_each(|(_, value)| self.look_at(value))
            }
            _ => Ok(()),
        }
    }

    /// Where `part` replaces something, texts grow by as much.
    fn replacement(&mut self, part: &Value) -> Check {
        let pattern = &part["pattern"];
        if !self.patterns && pattern.get("Regex").is_some() {
            return Err("searches for a pattern, and it runs in every step".into());
        }
        let Some(content) = part["content"].as_str().filter(|_| !pattern.is_null()) else {
            return Ok(());
        };
        let growth = match pattern["String"].as_str() {
            Some(found) if !found.is_empty() => content.len().div_ceil(found.len()),
            _ => content.len() + 1, // what is found may be nothing
        };
        self.growth = self.growth.saturating_mul(growth.max(1));
        if self.growth > MOST_GROWTH {
            return Err(format!(
                "makes a text more than {MOST_GROWTH} times as long"
            ));
        }
        Ok(())
    }
}

fn is_charsmap(name: &str, value: &Value) -> bool {
    let short = |text: &str| text.len() <= LARGEST_CHARSMAP;
    name == "precompiled_charsmap" && value.as_str().is_some_and(short)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn checked(change: impl FnOnce(&mut Value)) -> Check {
        let mut value = json!({"model": {"vocab": {"a": 0}, "merges": []}});
        change(&mut value);
        check(value.to_string().as_bytes(), 4)
    }

    fn replace(pattern: &Value, content: &str) -> Value {
        json!({"type": "Replace", "pattern": pattern, "content": content})
    }

    #[test]
    fn known_tokenizers_pass() {
        assert_eq!(checked(|_| ()), Ok(()));
        let blanks = replace(&json!({"String": " "}), "▁");
        let llama = json!({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, blanks]});
        assert_eq!(checked(|t| t["normalizer"] = llama), Ok(()));
        let blanks = replace(&json!({"String": "▁"}), " ");
        assert_eq!(checked(|t| t["decoder"] = blanks), Ok(()));
        let pattern = json!({"type": "Split", "pattern": {"Regex": "\\s+(?!\\S)|\\s+"}, "behavior": "Isolated"});
        assert_eq!(checked(|t| t["pre_tokenizer"] = pattern), Ok(()));
        let charsmap = json!({"type": "Precompiled", "precompiled_charsmap": "A".repeat(300_000)});
        assert_eq!(checked(|t| t["normalizer"] = charsmap), Ok(()));
    }

    #[test]
    fn what_makes_texts_grow_is_refused() {
        let ten = replace(&json!({"Regex": "."}), "aaaaaaaaaa");
        let twice = json!([ten, ten]);
        let long = json!({"type": "Prepend", "prepend": "a".repeat(5000)});
        let empty = replace(&json!({"String": ""}), &"a".repeat(100));
        let many = json!(vec![0; 5000]);
        for part in [&twice, &long, &empty, &many] {
            assert!(checked(|t| t["normalizer"] = part.clone()).is_err());
        }
        assert!(checked(|t| t["decoder"] = ten).is_err());
    }

    #[test]
    fn tables_fit_the_vocabulary() {
        let many = json!({"a": 0, "b": 1, "c": 2, "d": 3, "e": 4});
        assert!(checked(|t| t["model"]["vocab"] = many).is_err());
        assert!(checked(|t| t["model"]["merges"] = json!(vec!["a b"; 17])).is_err());
        let added = |id: u64, content: &str| json!([{"id": id, "content": content}]);
        assert_eq!(checked(|t| t["added_tokens"] = added(3, "x")), Ok(()));
        assert!(checked(|t| t["added_tokens"] = added(4, "x")).is_err());
        assert!(checked(|t| t["added_tokens"] = added(1 << 40, "x")).is_err());
        assert!(checked(|t| t["added_tokens"] = added(1, &"x".repeat(2000))).is_err());
        let deep = "[".repeat(100_000);
        assert!(check(deep.as_bytes(), 4).is_err());
        assert!(check(&vec![b' '; LARGEST + 1], 4).is_err());
    }
}
