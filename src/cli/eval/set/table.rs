//! A table of rows: JSON, one object a line, or fields with commas or tabs between and a line of names.
//!
//! Names are the same in both: `id`, `audio` (from the table's folder), `question`, `text`, `answer`,
//! `pattern`. Others mean nothing here. Several answers are a list in JSON, and have `|` between in a field.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::Found;
use super::row::Row;

const BYTE_ORDER_MARK: &[u8] = "\u{FEFF}".as_bytes();
/// Between the answers of one field.
const OR: char = '|';

/// A row as it is written.
#[derive(Deserialize)]
struct Written {
    id: Option<String>,
    audio: Option<String>,
    question: Option<String>,
    text: Option<String>,
    answer: Option<Answers>,
    pattern: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Answers {
    One(String),
    Several(Vec<String>),
}

/// The lines of a text that are not empty, each with its place, or a sentence if it is no text.
pub fn lines(path: &Path) -> Result<Vec<(String, Result<String, String>)>> {
    let bytes = read(path)?;
    let line = |(i, line): (usize, &[u8])| {
        let place = place(path, i as u64 + 1);
        let text = String::from_utf8(line.to_vec());
        let text = text.map_err(|_| format!("{place}: the line is not in UTF-8"));
        (place, text)
    };
    let lines = bytes.split(|&byte| byte == b'\n').enumerate();
    let filled = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
    Ok(filled.map(line).collect())
}

/// A JSON object a line.
pub fn json_lines(path: &Path) -> Result<Vec<Found>> {
    let row = |(place, line): (String, Result<String, String>)| {
        let written: Written = serde_json::from_str(&line?)
            .map_err(|fault| format!("{place}: the line is no JSON object of a row: {fault}"))?;
        Ok(written.row(path, place, |one| vec![one]))
    };
    Ok(lines(path)?.into_iter().map(row).collect())
}

/// Fields with a separator between.
pub fn separated(path: &Path, separator: u8) -> Result<Vec<Found>> {
    let bytes = read(path)?;
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator)
        .trim(csv::Trim::All)
        .from_reader(&bytes[..]);
    let unreadable = || format!("cannot read {}", path.display());
    let names = reader.headers().with_context(unreadable)?.clone();
    let row = |record: csv::Result<csv::StringRecord>| {
        let record = record.map_err(|fault| fault_of(path, &fault))?;
        let place = place(path, record.position().map_or(0, csv::Position::line));
        let written: Written = record
            .deserialize(Some(&names))
            .map_err(|fault| format!("{place}: {fault}"))?;
        Ok(written.row(path, place, |one| one.split(OR).map(String::from).collect()))
    };
    Ok(reader.records().map(row).collect())
}

fn fault_of(path: &Path, fault: &csv::Error) -> String {
    let line = fault.position().map_or(0, csv::Position::line);
    let place = place(path, line);
    match fault.kind() {
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => {
            format!("{place}: the row has {len} fields, and the first line names {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => format!("{place}: the row is not in UTF-8"),
        _ => format!("{place}: {fault}"),
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(match bytes.strip_prefix(BYTE_ORDER_MARK) {
        Some(rest) => rest.to_vec(),
        None => bytes,
    })
}

fn place(path: &Path, line: u64) -> String {
    format!("{}:{line}", path.display())
}

impl Written {
    /// The row of a table; `several` takes a single answer apart.
    fn row(self, table: &Path, place: String, several: impl Fn(String) -> Vec<String>) -> Row {
        let filled = |field: Option<String>| field.filter(|text| !text.trim().is_empty());
        let folder = table.parent().unwrap_or(Path::new("."));
        let audio = filled(self.audio);
        let answers = match self.answer {
            Some(Answers::One(one)) if !one.trim().is_empty() => several(one),
            Some(Answers::Several(all)) => all,
            _ => Vec::new(),
        };
        Row {
            place,
            id: filled(self.id).or(audio.clone()),
            audio: audio.map(|audio| folder.join(audio)),
            question: filled(self.question),
            text: filled(self.text),
            answers,
            pattern: filled(self.pattern),
        }
    }
}
