//! A table of rows: JSON, one object a line, or fields with commas or tabs between and a line of names.
//!
//! Several answers are a list in JSON, and have `|` between in a field.

use std::path::Path;

use anyhow::{Result, bail};
use mini_omni::eval::quoted;
use serde_json::Value;

use super::Found;
use super::fields::{Fields, NAMES, check_names};
use super::file::{lines, place, read};
use super::quotes::misplaced;

/// Between the answers of one field.
const OR: char = '|';

/// A JSON object a line.
pub fn json_lines(path: &Path) -> Result<Vec<Found>> {
    let row = |(place, line): (String, Result<String, String>)| {
        let fields: Fields = serde_json::from_str(&line?)
            .map_err(|fault| format!("{place}: the line is no JSON object: {}", why(&fault)))?;
        let row = fields.row(path, place.clone(), |one| vec![one]);
        row.map_err(|fault| format!("{place}: {fault}"))
    };
    Ok(lines(path)?.into_iter().map(row).collect())
}

/// The fault without its line, which counts from the row.
fn why(fault: &serde_json::Error) -> String {
    let said = fault.to_string();
    let what = said.split(" at line ").next().unwrap_or_default();
    match fault.column() {
        0 => what.into(),
        column => format!("{what} at column {column}"),
    }
}

/// Fields with a separator between.
pub fn separated(path: &Path, separator: u8) -> Result<Vec<Found>> {
    let bytes = read(path)?;
    if let Some((line, fault)) = misplaced(&bytes, separator) {
        bail!("{}: {fault}", place(path, line));
    }
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator)
        .trim(csv::Trim::All)
        .from_reader(&bytes[..]);
    let names = match reader.headers() {
        Ok(names) => names.clone(),
        Err(fault) => bail!("{}: {}", place(path, 1), sentence(&fault)),
    };
    if let Err(fault) = header(&names, separator) {
        bail!("{}: {fault}", place(path, 1));
    }
    let place = |position: Option<&csv::Position>| place(path, line(&bytes, position));
    let row = |record: csv::Result<csv::StringRecord>| {
        let record =
            record.map_err(|fault| format!("{}: {}", place(fault.position()), sentence(&fault)))?;
        let place = place(record.position());
        let pairs = names.iter().zip(&record);
        let pairs = pairs.map(|(name, field)| (name.into(), Value::from(field)));
        let row = Fields(pairs.collect()).row(path, place.clone(), apart);
        row.map_err(|fault| format!("{place}: {fault}"))
    };
    Ok(reader.records().map(row).collect())
}

fn apart(answers: String) -> Vec<String> {
    answers.split(OR).map(String::from).collect()
}

/// Refuses a first line that names nothing; most often its separator is another.
fn header(names: &csv::StringRecord, separator: u8) -> Result<(), String> {
    check_names(names.iter())?;
    if names.is_empty() || names.iter().any(|name| NAMES.contains(&name)) {
        return Ok(());
    }
    let by = match separator {
        b'\t' => "tabs (.csv has commas)",
        _ => "commas (.tsv has tabs)",
    };
    let line = quoted(&Vec::from_iter(names).join(&char::from(separator).to_string()));
    let all = NAMES.join(", ");
    Err(format!(
        "the first line has none of the names {all}, with {by} between, but {line}"
    ))
}

/// Where a row begins. The reader counts from the empty lines before it, which it leaves out.
fn line(bytes: &[u8], position: Option<&csv::Position>) -> u64 {
    let Some(position) = position else {
        return 0;
    };
    let start = usize::try_from(position.byte()).unwrap_or(usize::MAX);
    let rest = bytes.get(start..).unwrap_or_default();
    let ends = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    position.line() + ends.filter(|byte| **byte == b'\n').count() as u64
}

fn sentence(fault: &csv::Error) -> String {
    match fault.kind() {
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => {
            format!("the row has {len} fields, and the first line names {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "the row is not in UTF-8".into(),
        _ => fault.to_string(),
    }
}
