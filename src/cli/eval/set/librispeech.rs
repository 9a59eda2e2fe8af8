//! LibriSpeech's layout: in any folder below, `*.trans.txt` has a line for each sound file beside it, its
//! name and what is said.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use mini_omni::eval::quoted;

use super::Found;
use super::file::lines;
use super::row::Row;

const TRANSCRIPTS: &str = ".trans.txt";
/// LibriSpeech is flac; other sets of its layout are not always.
const SOUNDS: [&str; 4] = ["flac", "wav", "ogg", "mp3"];

/// The rows of all transcripts in a folder, in the order of their names.
pub fn rows(folder: &Path) -> Result<Vec<Found>> {
    let mut transcripts = Vec::new();
    collect(folder, &mut transcripts)?;
    if transcripts.is_empty() {
        let folder = folder.display();
        bail!("{folder} is a folder without *{TRANSCRIPTS}, which LibriSpeech's layout has");
    }
    transcripts.sort();
    let mut rows = Vec::new();
    for path in transcripts {
        rows.extend(rows_of(&path)?);
    }
    Ok(rows)
}

/// Links to folders are not followed: they may lead in circles.
fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let unreadable = || format!("cannot read {}", folder.display());
    for entry in fs::read_dir(folder).with_context(unreadable)? {
        let entry = entry.with_context(unreadable)?;
        if entry.file_type().with_context(unreadable)?.is_dir() {
            collect(&entry.path(), found)?;
        } else if entry.file_name().to_string_lossy().ends_with(TRANSCRIPTS) {
            found.push(entry.path());
        }
    }
    Ok(())
}

fn rows_of(path: &Path) -> Result<Vec<Found>> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let row = |(place, line): (String, Result<String, String>)| {
        let line = line?;
        let Some((id, text)) = line.trim().split_once(char::is_whitespace) else {
            return Err(format!(
                "{place}: a line is a name and what is said, and this is {}",
                quoted(&line)
            ));
        };
        Ok(Row {
            place,
            id: Some(id.into()),
            audio: Some(sound(folder, id)),
            text: Some(text.trim().into()),
            ..Row::default()
        })
    };
    Ok(lines(path)?.into_iter().map(row).collect())
}

/// The sound file of that name; the flac, if there is none.
fn sound(folder: &Path, id: &str) -> PathBuf {
    let files = SOUNDS.map(|extension| folder.join(format!("{id}.{extension}")));
    let there = files.iter().find(|path| path.is_file());
    there.unwrap_or(&files[0]).clone()
}
