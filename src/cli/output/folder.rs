//! A folder that appears whole or not at all.
//!
//! A recording takes more memory than there may be, so its files wait in one that has no name: a program
//! that is killed leaves nothing behind. At the end they are written to a hidden folder beside the
//! place, and that is renamed.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::place;
use super::replace::PREFIX;
use crate::cli::signals;
use crate::cli::terminal::cannot_write;

/// A folder being made.
pub struct Folder {
    /// As the person calls it.
    name: String,
    place: PathBuf,
    waiting: File,
    /// Names and lengths, in the order in which they wait.
    files: Vec<(String, u64)>,
}

impl Folder {
    /// Finds the place, which must not be there or be an empty folder.
    pub fn open(path: &Path) -> Result<Folder> {
        let name = path.display().to_string();
        let cannot = || format!("cannot make {name}");
        let place = free_place(path).with_context(cannot)?;
        let waiting = signals::postponed(|| tempfile::tempfile_in(place::folder(&place)));
        Ok(Folder {
            waiting: waiting
                .map_err(|e| io::Error::from(e.kind()))
                .with_context(cannot)?,
            files: Vec::new(),
            name,
            place,
        })
    }

    /// Adds a file.
    pub fn put(&mut self, file: &str, content: &[u8]) -> Result<()> {
        let written = self.waiting.write_all(content);
        self.files.push((file.into(), content.len() as u64));
        written.with_context(|| cannot_write(&self.name))
    }

    /// Puts the folder in its place.
    pub fn finish(mut self) -> Result<()> {
        signals::postponed(|| self.write()).with_context(|| cannot_write(&self.name))
    }

    fn write(&mut self) -> io::Result<()> {
        let made = hidden(place::folder(&self.place))?;
        self.waiting.rewind()?;
        for (name, bytes) in &self.files {
            let mut file = File::create_new(made.path().join(name))?;
            io::copy(&mut (&self.waiting).take(*bytes), &mut file)?;
        }
        // Not every system renames over an empty folder.
        if let Ok(there) = fs::metadata(&self.place) {
            fs::set_permissions(made.path(), there.permissions())?;
            fs::remove_dir(&self.place)?;
        }
        fs::rename(made.path(), &self.place)?;
        let _gone = made.keep();
        Ok(())
    }
}

/// A folder beside others, removed again unless it is renamed.
fn hidden(beside: &Path) -> io::Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX);
    ordinary(&mut builder);
    builder.tempdir_in(beside)
}

/// The place by its own name. Folders above it are made.
fn free_place(path: &Path) -> Result<PathBuf> {
    match fs::metadata(path) {
        Ok(there) if !there.is_dir() => bail!("it is there and no folder; give another name"),
        Ok(_) if fs::read_dir(path)?.next().is_some() => {
            bail!("it is not empty; give a folder of its own")
        }
        Ok(_) => Ok(fs::canonicalize(path)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => {
            let name = path.file_name().context("it names no folder")?;
            let above = place::folder(path);
            fs::create_dir_all(above)?;
            Ok(fs::canonicalize(above)?.join(name))
        }
        Err(error) => Err(error.into()),
    }
}

/// Temporary folders are private; one that was not there before is an ordinary folder.
#[cfg(unix)]
fn ordinary(builder: &mut tempfile::Builder) {
    use std::os::unix::fs::PermissionsExt;
    builder.permissions(fs::Permissions::from_mode(0o777));
}

#[cfg(not(unix))]
fn ordinary(_: &mut tempfile::Builder) {}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        let name = |entry: io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
        let mut names: Vec<_> = entries.map(|e| name(e).to_string_lossy().into()).collect();
        names.sort();
        names
    }

    #[test]
    fn nothing_is_there_before_the_whole_is() {
        let around = tempfile::tempdir().expect("a folder");
        let place = around.path().join("new/goldens");
        let mut folder = Folder::open(&place).expect("a place");
        folder.put("a", b"one").expect("kept");
        folder.put("b", b"two!").expect("kept");
        assert!(names(&around.path().join("new")).is_empty());
        folder.finish().expect("written");
        assert_eq!(names(&around.path().join("new")), ["goldens"]);
        assert_eq!(names(&place), ["a", "b"]);
        assert_eq!(fs::read(place.join("b")).expect("a file"), b"two!");
    }

    #[test]
    fn an_empty_folder_is_filled_and_any_other_place_refused() {
        let around = tempfile::tempdir().expect("a folder");
        let place = around.path().join("goldens");
        fs::create_dir(&place).expect("a folder");
        let mut folder = Folder::open(&place).expect("an empty folder");
        folder.put("a", b"one").expect("kept");
        folder.finish().expect("written");
        assert_eq!(names(&place), ["a"]);
        for taken in [place.clone(), place.join("a"), place.join("a/b")] {
            assert!(Folder::open(&taken).is_err(), "{}", taken.display());
        }
    }
}
