//! What JSON a client may send: a wrong field is named by its path, in the words of JSON.
//!
//! A table of [`Shape`]s is held against a value before serde reads it, since serde's own sentences
//! name Rust's types and no path. A field that may be left away may be null, too.

use serde_json::{Map, Value};

/// Characters of an id.
const LONGEST_ID: usize = 512;
/// Pairs of metadata, characters of a key and of a value, as OpenAI's API has them.
const MOST_LABELS: usize = 16;
const LONGEST_KEY: usize = 64;
const LONGEST_LABEL: usize = 512;
/// Characters of a client's word that a sentence repeats.
const SHOWN: usize = 64;

/// What may stand in a place.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// Whatever a client likes.
    Any,
    /// A string.
    Text,
    /// A string that names something.
    Id,
    /// A number.
    Number,
    /// A whole number.
    Whole,
    /// A whole number from 0 on.
    Count,
    /// true or false.
    Truth,
    /// One of these strings.
    Word(&'static [&'static str]),
    /// An array of these.
    List(&'static Shape),
    /// An object of these fields and no others.
    Object(&'static [Field]),
    /// An object of these fields and any others.
    Open(&'static [Field]),
    /// An object whose `type` says what it is.
    Typed(&'static [(&'static str, Shape)]),
    /// An object of a few short strings: metadata.
    Labels,
    /// The first of these that the value is of.
    Either(&'static [Shape]),
}

/// A field of an object.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    name: &'static str,
    shape: Shape,
    needed: bool,
}

/// A field that must be there.
pub const fn needed(name: &'static str, shape: Shape) -> Field {
    Field {
        name,
        shape,
        needed: true,
    }
}

/// A field that may be left away.
pub const fn optional(name: &'static str, shape: Shape) -> Field {
    Field {
        name,
        shape,
        needed: false,
    }
}

/// What is wrong with a value.
#[derive(Debug, PartialEq, Eq)]
pub struct Wrong {
    /// OpenAI's word for it.
    pub code: &'static str,
    /// Where: `item.content[0].text`. Empty for the value itself.
    pub path: String,
    /// A whole sentence.
    pub sentence: String,
}

impl Shape {
    /// Whether `value` has this shape; `path`: where it stands, as the client knows it.
    pub fn check(&self, path: &str, value: &Value) -> Result<(), Wrong> {
        match (self, value) {
            (Shape::Any, _)
            | (Shape::Text, Value::String(_))
            | (Shape::Number, Value::Number(_))
            | (Shape::Truth, Value::Bool(_)) => Ok(()),
            (Shape::Id, Value::String(id)) => short(path, "", id, LONGEST_ID),
            (Shape::Whole, value) if value.is_i64() => Ok(()),
            (Shape::Count, value) if value.as_u64().is_some_and(|n| n <= u32::MAX.into()) => Ok(()),
            (Shape::Word(words), Value::String(word)) if words.contains(&&**word) => Ok(()),
            (Shape::List(shape), Value::Array(values)) => {
                let mut values = values.iter().enumerate();
                values.try_for_each(|(i, value)| shape.check(&format!("{path}[{i}]"), value))
            }
            (Shape::Either(shapes), value) => match shapes.iter().find(|s| s.is_kind_of(value)) {
                Some(shape) => shape.check(path, value),
                None => Err(self.mismatch(path, value)),
            },
            (_, Value::Object(map)) if self.is_kind_of(value) => self.check_object(path, map),
            _ => Err(self.mismatch(path, value)),
        }
    }

    fn check_object(&self, path: &str, map: &Map<String, Value>) -> Result<(), Wrong> {
        match self {
            Shape::Object(fields) => {
                only(path, fields, map)?;
                check_fields(path, fields, map)
            }
            Shape::Open(fields) => check_fields(path, fields, map),
            Shape::Typed(kinds) => typed(path, kinds, map),
            Shape::Labels => labels(path, map),
            _ => Ok(()),
        }
    }

    /// Whether a value is of the JSON type that the shape has.
    fn is_kind_of(&self, value: &Value) -> bool {
        match self {
            Shape::Any => true,
            Shape::Text | Shape::Id | Shape::Word(_) => value.is_string(),
            Shape::Number | Shape::Whole | Shape::Count => value.is_number(),
            Shape::Truth => value.is_boolean(),
            Shape::List(_) => value.is_array(),
            Shape::Object(_) | Shape::Open(_) | Shape::Typed(_) | Shape::Labels => {
                value.is_object()
            }
            Shape::Either(shapes) => shapes.iter().any(|shape| shape.is_kind_of(value)),
        }
    }

    /// What the shape is, with its article.
    fn words(&self) -> String {
        match self {
            Shape::Any => "anything".into(),
            Shape::Text | Shape::Id => "a string".into(),
            Shape::Number => "a number".into(),
            Shape::Whole => "a whole number".into(),
            Shape::Count => "a whole number from 0 on".into(),
            Shape::Truth => "true or false".into(),
            Shape::Word(words) => or(words.iter().map(|word| format!("\"{word}\""))),
            Shape::List(_) => "an array".into(),
            Shape::Object(_) | Shape::Open(_) | Shape::Typed(_) | Shape::Labels => {
                "an object".into()
            }
            Shape::Either(shapes) => or(shapes.iter().map(Shape::words)),
        }
    }

    fn mismatch(&self, path: &str, value: &Value) -> Wrong {
        let code = match self.is_kind_of(value) {
            true => "invalid_value",
            false => "invalid_type",
        };
        let (place, words) = (place(path), self.words());
        wrong(
            code,
            path,
            format!("{place} is {}, not {words}", shown(value)),
        )
    }
}

/// Every field that is there has its shape, and every needed one is there.
fn check_fields(path: &str, fields: &[Field], map: &Map<String, Value>) -> Result<(), Wrong> {
    fields.iter().try_for_each(|field| {
        let inner = join(path, field.name);
        match map.get(field.name) {
            None if field.needed => Err(missing(&inner)),
            None => Ok(()),
            Some(Value::Null) if !field.needed => Ok(()),
            Some(value) => field.shape.check(&inner, value),
        }
    })
}

/// Refuses fields that are not named.
fn only(path: &str, fields: &[Field], map: &Map<String, Value>) -> Result<(), Wrong> {
    let known = |key: &&String| key.as_str() == "type" || fields.iter().any(|f| f.name == *key);
    let Some(key) = map.keys().find(|key| !known(key)) else {
        return Ok(());
    };
    let inner = join(path, &clipped(key));
    let names: Vec<_> = fields.iter().map(|field| field.name).collect();
    let sentence = match names.is_empty() {
        true => format!("{inner} is not known; there are no fields here"),
        false => format!("{inner} is not known; the fields are {}", names.join(", ")),
    };
    Err(wrong("unknown_parameter", &inner, sentence))
}

fn typed(
    path: &str,
    kinds: &'static [(&'static str, Shape)],
    map: &Map<String, Value>,
) -> Result<(), Wrong> {
    let kind = map.get("type").unwrap_or(&Value::Null);
    let known = kinds.iter().find(|(name, _)| kind == name);
    if let Some((_, shape)) = known {
        return shape.check_object(path, map);
    }
    let inner = join(path, "type");
    if kind.is_null() {
        return Err(missing(&inner));
    }
    let words = or(kinds.iter().map(|(name, _)| format!("\"{name}\"")));
    let sentence = format!("{inner} is {}, not {words}", shown(kind));
    Err(wrong("invalid_value", &inner, sentence))
}

fn labels(path: &str, map: &Map<String, Value>) -> Result<(), Wrong> {
    if map.len() > MOST_LABELS {
        let (place, n) = (place(path), map.len());
        let sentence = format!("{place} has {n} keys, and at most {MOST_LABELS} are taken");
        return Err(wrong("invalid_value", path, sentence));
    }
    map.iter().try_for_each(|(key, value)| {
        short(path, "a key of ", key, LONGEST_KEY)?;
        let inner = join(path, key);
        match value {
            Value::String(label) => short(&inner, "", label, LONGEST_LABEL),
            _ => Err(Shape::Text.mismatch(&inner, value)),
        }
    })
}

fn short(path: &str, what: &str, text: &str, most: usize) -> Result<(), Wrong> {
    let n = text.chars().count();
    if n <= most {
        return Ok(());
    }
    let place = place(path);
    let sentence = format!("{what}{place} has {n} characters, and at most {most} are taken");
    Err(wrong("invalid_value", path, sentence))
}

fn missing(path: &str) -> Wrong {
    let sentence = format!("{path} is needed and is missing");
    wrong("missing_required_parameter", path, sentence)
}

fn wrong(code: &'static str, path: &str, sentence: String) -> Wrong {
    Wrong {
        code,
        path: path.into(),
        sentence,
    }
}

fn join(path: &str, name: &str) -> String {
    match path {
        "" => name.into(),
        path => format!("{path}.{name}"),
    }
}

fn place(path: &str) -> &str {
    match path {
        "" => "the JSON",
        path => path,
    }
}

/// A value in a sentence: a word as it is, all else by its type.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => format!("\"{}\"", clipped(text)),
        Value::Array(_) => "an array".into(),
        Value::Object(_) => "an object".into(),
    }
}

/// A client's word, no longer than a sentence bears.
pub fn clipped(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

fn or(words: impl Iterator<Item = String>) -> String {
    let words: Vec<_> = words.collect();
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, first)) => format!("{} or {last}", first.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
pub mod tests;
