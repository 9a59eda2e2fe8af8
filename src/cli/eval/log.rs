//! The results file: how a run was made, then a line for each item, appended when it is done.
//!
//! A run that was killed goes on from it. What a kill leaves of a line is taken away: the line's end is
//! written with the line, so one without an end is not whole.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::line::Line;
use crate::cli::terminal::{cannot_write, say};

/// Raised when a reader of older files could not read new ones.
pub const FORMAT_VERSION: u32 = 2;

/// How a run is made: what must be the same for its lines to belong together. Another version, processor
/// or number of threads may round otherwise.
#[derive(Debug, Clone, Serialize)]
pub struct Settings {
    pub format_version: u32,
    /// The program's.
    pub version: String,
    pub model: String,
    /// Over the model's files.
    pub hash: String,
    /// sha256 of the manifest, which also decides how a question is heard.
    pub manifest: String,
    pub onnxruntime: String,
    pub provider: String,
    pub kernels: String,
    pub threads: usize,
    pub task: String,
    pub encoder_window: String,
    /// Null where the model's own limit counts.
    pub max_steps: Option<u32>,
    pub answer_anything: bool,
    /// The judge's command; null without one.
    pub judge: Option<String>,
}

/// A results file, open for the next line.
pub struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// Opens the file, or makes it; gives the lines that are there.
    pub fn open(path: &Path, settings: &Settings) -> Result<(Log, Vec<Line>)> {
        let name = path.display().to_string();
        if path.exists() && !path.is_file() {
            bail!("--out {name} is no file, and a run could not go on from it");
        }
        let options = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .clone();
        let mut file = options.open(path).with_context(|| cannot_write(&name))?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => bail!("another run is writing {name}"),
            // A file system without locks is no reason to refuse.
            Err(TryLockError::Error(_)) | Ok(()) => {}
        }
        let mut bytes = Vec::new();
        let unreadable = || format!("cannot read {name}");
        file.read_to_end(&mut bytes).with_context(unreadable)?;
        let whole = whole_lines(&bytes, settings, &name)?;
        let mut lines = whole.lines().enumerate();
        if let Some((_, first)) = lines.next() {
            check(settings, &parsed(first, &name, 1)?, &name)?;
        }
        let lines = lines.map(|(i, line)| parsed(line, &name, i + 1));
        let lines = lines.collect::<Result<_>>()?;
        if whole.len() < bytes.len() {
            say(format_args!(
                "note: the last line of {name} is half-written and taken away"
            ));
            let cut = file.set_len(whole.len() as u64);
            cut.with_context(|| cannot_write(&name))?;
        }
        let mut log = Log {
            path: path.into(),
            file,
        };
        if whole.is_empty() {
            log.append(settings)?;
        }
        Ok((log, lines))
    }

    /// Appends a line, in one piece.
    pub fn append(&mut self, line: &impl Serialize) -> Result<()> {
        let line = serde_json::to_string(line)? + "\n";
        let written = self.file.write_all(line.as_bytes());
        written.with_context(|| cannot_write(&self.path.display().to_string()))
    }
}

/// What the file holds but for the piece of a line at its end. Refuses a file that no run began.
fn whole_lines<'b>(bytes: &'b [u8], settings: &Settings, name: &str) -> Result<&'b str> {
    let end = bytes.iter().rposition(|&byte| byte == b'\n');
    let whole = &bytes[..end.map_or(0, |at| at + 1)];
    let header = serde_json::to_string(settings)?;
    if whole.is_empty() && !header.as_bytes().starts_with(bytes) {
        bail!("{name} is there and no run of eval wrote it; give another --out");
    }
    std::str::from_utf8(whole).with_context(|| format!("{name} holds no lines of an evaluation"))
}

fn parsed<T: DeserializeOwned>(line: &str, name: &str, number: usize) -> Result<T> {
    let sentence = || format!("{name}:{number} is no line of an evaluation");
    serde_json::from_str(line).with_context(sentence)
}

/// Refuses to go on with other settings. `then` is what an earlier version may have written.
fn check(now: &Settings, then: &Value, name: &str) -> Result<()> {
    match then["format_version"].as_u64() {
        None => bail!("{name}:1 is no line of an evaluation"),
        Some(version) if version != u64::from(FORMAT_VERSION) => {
            bail!("{name} was written by another version of this program; give another --out")
        }
        Some(_) => {}
    }
    let now = serde_json::to_value(now)?;
    let other = now
        .as_object()
        .into_iter()
        .flatten()
        .find(|(key, value)| then[key.as_str()] != **value);
    if let Some((key, value)) = other {
        let then = &then[key.as_str()];
        bail!("{name} holds a run with {key} {then}, and now it is {value}; give another --out");
    }
    Ok(())
}
