//! A file is put in its place whole: written beside it under a hidden name, then renamed.
//!
//! Renaming makes a new file, which some places do not allow or would miss: a file that is mounted by
//! itself, a folder that is closed to us, an owner we cannot give, a second name (hard link). There the
//! file is written over in place, and only once its whole content is at hand.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use super::place::folder;
use crate::cli::signals;

pub const PREFIX: &str = ".mini-omni-";

/// Whether a file can be put there, as far as that is known before there is one.
pub fn check(place: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).open(place) {
        Ok(_) => Ok(()),
        // This file has no name, or loses it before a signal acts.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let made = signals::postponed(|| tempfile::tempfile_in(folder(place)));
            made.map(drop).map_err(plain)
        }
        Err(error) => Err(error),
    }
}

/// Puts a file with `content` there. A file that was there keeps its mode, owner and other names; it
/// stays as it was if something goes wrong before the new one is whole.
pub fn replace(place: &Path, content: &[u8]) -> io::Result<()> {
    signals::postponed(|| match fs::metadata(place) {
        Ok(there) if has_other_names(&there) => in_place(place, content),
        Ok(there) => match beside(place, Some(&there), content) {
            // Writing over the old file on a full disk would lose both.
            Err(error) if !is_full(&error) => in_place(place, content),
            result => result,
        },
        Err(_) => beside(place, None, content),
    })
}

fn beside(place: &Path, there: Option<&Metadata>, content: &[u8]) -> io::Result<()> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX);
    if there.is_none() {
        ordinary(&mut builder);
    }
    let mut file = builder.tempfile_in(folder(place)).map_err(plain)?;
    file.as_file_mut().write_all(content)?;
    if let Some(there) = there {
        keep(file.as_file(), there)?;
    }
    file.persist(place).map_err(|error| error.error)?;
    Ok(())
}

/// Writes over a file; if that fails half-way, as on a full disk, puts back what was there.
fn in_place(place: &Path, content: &[u8]) -> io::Result<()> {
    let before = fs::read(place);
    write_over(place, content).inspect_err(|_| {
        // Its own blocks still belong to it, so there is room.
        let _ = before.and_then(|before| write_over(place, &before));
    })
}

fn write_over(place: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(place)?;
    file.write_all(content)?;
    file.set_len(content.len() as u64)
}

fn is_full(error: &io::Error) -> bool {
    use ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// What the system said, without the hidden file's name.
fn plain(error: io::Error) -> io::Error {
    error.kind().into()
}

/// Temporary files are private; one that was not there before is an ordinary file.
#[cfg(unix)]
fn ordinary(builder: &mut tempfile::Builder) {
    use std::os::unix::fs::PermissionsExt;
    builder.permissions(fs::Permissions::from_mode(0o666));
}

/// Gives a file the owner and mode of another. The owner first: a change of it clears bits of the mode.
#[cfg(unix)]
fn keep(file: &File, there: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};
    let made = file.metadata()?;
    if (made.uid(), made.gid()) != (there.uid(), there.gid()) {
        fchown(file, Some(there.uid()), Some(there.gid()))?;
    }
    file.set_permissions(there.permissions())
}

#[cfg(unix)]
fn has_other_names(there: &Metadata) -> bool {
    std::os::unix::fs::MetadataExt::nlink(there) > 1
}

#[cfg(not(unix))]
fn ordinary(_: &mut tempfile::Builder) {}

#[cfg(not(unix))]
fn keep(file: &File, there: &Metadata) -> io::Result<()> {
    file.set_permissions(there.permissions())
}

#[cfg(not(unix))]
fn has_other_names(_: &Metadata) -> bool {
    false
}
