//! A labelled set: what is asked, and what is to be said.
//!
//! A folder is of LibriSpeech's layout, a file is a table. All rows, and the beginnings of all sounds, are
//! looked at before the first question, and a wrong one is named by its file and line: a run of hours
//! should not end in a typing error.

mod fields;
mod file;
mod librispeech;
mod quotes;
mod row;
mod table;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use mini_omni::Task;
use mini_omni::audio::Limit;
use mini_omni::eval::{Expected, quoted};
use mini_omni::model::sha256_hex;
use serde::{Deserialize, Serialize};

use row::Row;

/// Wrong rows that are named; more are counted.
const NAMED: usize = 5;

/// One question of a set.
pub struct Item {
    /// The only one of that name in its set.
    pub id: String,
    /// File and line.
    pub place: String,
    pub asked: Asked,
    pub label: Label,
}

pub enum Asked {
    Sound(PathBuf),
    Text(String),
}

/// What was asked, to be told from what is asked under the same name later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fingerprint {
    Text(String),
    /// Of the sound file.
    Sha256(String),
}

impl Asked {
    /// Reads the whole sound.
    pub fn fingerprint(&self) -> Result<Fingerprint> {
        Ok(match self {
            Asked::Text(text) => Fingerprint::Text(text.clone()),
            Asked::Sound(path) => {
                let hash = sha256_hex(path);
                let unreadable = || format!("cannot read {}", path.display());
                Fingerprint::Sha256(hash.with_context(unreadable)?)
            }
        })
    }
}

/// What is to be said, as the set has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// What was spoken.
    Text(String),
    /// Any one of these makes an answer right.
    Answer {
        answers: Vec<String>,
        pattern: Option<String>,
    },
}

impl Label {
    /// The label as answers are held against it; none of a transcription. Not kept with it: a large set's
    /// patterns take much memory.
    pub fn expected(&self) -> mini_omni::Result<Option<Expected>> {
        match self {
            Label::Text(_) => Ok(None),
            Label::Answer { answers, pattern } => {
                Expected::new(answers, pattern.as_deref()).map(Some)
            }
        }
    }
}

/// A row, or what is wrong with it in a sentence that names its place.
type Found = Result<Row, String>;

/// Reads a set for a task; where none is given, for the one that its first row is made for.
pub fn read(path: &Path, task: Option<Task>) -> Result<(Task, Vec<Item>)> {
    let rows = rows(path)?;
    let first = rows.iter().find_map(|row| row.as_ref().ok());
    let task = task.or(first.map(Row::task)).unwrap_or(Task::A1T1);
    let found = rows
        .into_iter()
        .map(|row| row.and_then(|row| row.item(task)));
    let (mut items, mut faults) = (Vec::new(), Vec::new());
    for item in found {
        match item {
            Ok(item) => items.push(item),
            Err(fault) => faults.push(fault),
        }
    }
    faults.extend(doubles(&items));
    refuse(&faults)?;
    match items.is_empty() {
        true => bail!("{} holds no row to evaluate by", path.display()),
        false => Ok((task, items)),
    }
}

/// Reads the beginning of each sound, and refuses what is none.
pub fn check_sounds(items: &[Item]) -> Result<()> {
    let fault = |item: &Item| match &item.asked {
        Asked::Text(_) => None,
        Asked::Sound(path) => {
            let fault = Limit::First(0.0).read(path).err()?;
            Some(format!("{}: {fault}", item.place))
        }
    };
    refuse(&items.iter().filter_map(fault).collect::<Vec<_>>())
}

fn rows(path: &Path) -> Result<Vec<Found>> {
    if path.is_dir() {
        return librispeech::rows(path);
    }
    file::check(path).map_err(|fault| anyhow!(fault))?;
    let extension = path
        .extension()
        .and_then(|e| e.to_str())
        .map(str::to_lowercase);
    match extension.as_deref() {
        Some("jsonl") => table::json_lines(path),
        Some("csv") => table::separated(path, b','),
        Some("tsv") => table::separated(path, b'\t'),
        _ => bail!(
            "{} is no set: give a folder of LibriSpeech's layout, or a .jsonl, .csv or .tsv file",
            path.display()
        ),
    }
}

/// A sentence for each row whose id another has.
fn doubles(items: &[Item]) -> Vec<String> {
    let mut places = HashMap::new();
    let double = |item: &Item| {
        let first = places.insert(item.id.clone(), item.place.clone())?;
        Some(format!(
            "{}: {first} has the id {}, too; give each row its own",
            item.place,
            quoted(&item.id)
        ))
    };
    items.iter().filter_map(double).collect()
}

fn refuse(faults: &[String]) -> Result<()> {
    if faults.is_empty() {
        return Ok(());
    }
    let mut text = faults[..faults.len().min(NAMED)].join("\n");
    if faults.len() > NAMED {
        text += &format!(
            "\nand {} more rows that cannot be used",
            faults.len() - NAMED
        );
    }
    Err(anyhow!(text))
}
