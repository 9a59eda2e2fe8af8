//! The fields of a row, by name: how they are written, and what is made of them.
//!
//! Names are the same in all tables: `id`, `audio` (from the table's folder), `question`, `text`,
//! `answer`, `pattern`. Others mean nothing here, except that one of these in capitals is an error: its
//! values would be missed silently.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use mini_omni::eval::quoted;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::row::Row;

pub const NAMES: [&str; 6] = ["id", "audio", "question", "text", "answer", "pattern"];

/// Names and values, as they are written.
pub struct Fields(pub Vec<(String, Value)>);

/// Refuses a name that stands twice, or in other letters than it is read by.
pub fn check_names<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for name in names {
        let known = NAMES
            .into_iter()
            .find(|known| known.eq_ignore_ascii_case(name.trim()));
        match known {
            Some(known) if known != name => {
                return Err(format!("the name {} is written {known:?}", quoted(name)));
            }
            Some(known) if !seen.insert(known) => {
                return Err(format!("{known:?} stands there twice"));
            }
            _ => {}
        }
    }
    Ok(())
}

impl Fields {
    /// The row of a table; `several` takes a single answer apart.
    pub fn row(
        mut self,
        table: &Path,
        place: String,
        several: impl Fn(String) -> Vec<String>,
    ) -> Result<Row, String> {
        check_names(self.0.iter().map(|(name, _)| name.as_str()))?;
        let folder = table.parent().unwrap_or(Path::new("."));
        let audio = self.text("audio")?;
        Ok(Row {
            place,
            id: self.text("id")?.or(audio.clone()),
            audio: audio.map(|audio| folder.join(audio)),
            question: self.text("question")?,
            text: self.text("text")?,
            answers: self.answers(several)?,
            pattern: self.text("pattern")?,
        })
    }

    fn take(&mut self, name: &str) -> Value {
        let found = self.0.iter_mut().find(|(own, _)| own == name);
        found.map_or(Value::Null, |(_, value)| value.take())
    }

    /// A text; an empty one is none.
    fn text(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.take(name) {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(text).filter(|text| !text.trim().is_empty())),
            other => Err(no_text(name, &other, "a text")),
        }
    }

    fn answers(&mut self, several: impl Fn(String) -> Vec<String>) -> Result<Vec<String>, String> {
        let one = |answer: Value| match answer {
            Value::String(text) => Ok(text),
            other => Err(no_text("answer", &other, "a text or a list of texts")),
        };
        match self.take("answer") {
            Value::Null => Ok(Vec::new()),
            Value::String(text) if text.trim().is_empty() => Ok(Vec::new()),
            Value::Array(all) => all.into_iter().map(one).collect(),
            other => one(other).map(several),
        }
    }
}

fn no_text(name: &str, found: &Value, needed: &str) -> String {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    format!("{name:?} is {found}, where {needed} is needed")
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fields, D::Error> {
        deserializer.deserialize_map(Pairs)
    }
}

/// Keeps a name that stands twice, which a map would lose.
struct Pairs;

impl<'de> Visitor<'de> for Pairs {
    type Value = Fields;

    fn expecting(&self, to: &mut fmt::Formatter) -> fmt::Result {
        to.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Fields, M::Error> {
        let mut fields = Vec::new();
        while let Some(pair) = map.next_entry()? {
            fields.push(pair);
        }
        Ok(Fields(fields))
    }
}
