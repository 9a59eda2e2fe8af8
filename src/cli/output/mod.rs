//! Outputs that appear whole or not at all.
//!
//! Whatever ends in a file is kept in memory until it is complete (a minute of speech is 3 MB): an
//! answer that is interrupted leaves no trace on the disk, and the header of a wav can be true even
//! where the shell opened the file. Pipes and devices have a listener and are written to at once.

mod claims;
mod folder;
mod place;
mod replace;
pub mod wav;

pub use claims::Claims;
pub use folder::Folder;
pub use wav::WavSink;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::terminal::{STDOUT, cannot_write, unless_unread};
use place::Place;

/// A file, pipe or device being written.
pub struct Output {
    /// As the person calls it.
    name: String,
    to: To,
}

enum To {
    /// Flushed at every write, so that a listener hears at once.
    Listener(Box<dyn Write + Send>),
    /// Kept until the end.
    Kept(Vec<u8>, Target),
}

enum Target {
    /// A file that somebody else has opened.
    Opened(Box<dyn Write + Send>),
    Place(PathBuf),
}

/// Whether a path means standard input or output.
pub fn is_stdio(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Whether a path means standard output, by whatever name.
pub fn is_stdout(path: &Path) -> bool {
    matches!(Place::of(path), Ok(Place::Stdout))
}

impl Output {
    /// Opens what `path` means, or says why nothing can be written there.
    pub fn open(path: &Path) -> Result<Output> {
        let name = name(path);
        let to = To::open(path).with_context(|| cannot_write(&name))?;
        Ok(Output { name, to })
    }

    /// As the person calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a file is there that would be replaced.
    pub fn replaces(&self) -> bool {
        matches!(&self.to, To::Kept(_, Target::Place(place)) if place.exists())
    }

    /// Appends bytes.
    pub fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let written = match &mut self.to {
            To::Kept(content, _) => {
                content.extend_from_slice(bytes);
                Ok(())
            }
            To::Listener(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        };
        written.with_context(|| cannot_write(&self.name))
    }

    /// Appends the whole of a text and puts the file in its place.
    pub fn complete(mut self, text: &str) -> Result<()> {
        unless_unread(self.put(text.as_bytes()))?;
        self.finish(&[])
    }

    /// Puts the file in its place. `header` overwrites its first bytes, for formats whose beginning
    /// says how long they are; a listener has heard the beginning already.
    pub fn finish(self, header: &[u8]) -> Result<()> {
        let To::Kept(mut content, target) = self.to else {
            return Ok(());
        };
        content[..header.len()].copy_from_slice(header);
        let written = match target {
            Target::Place(place) => replace::replace(&place, &content),
            Target::Opened(mut file) => file.write_all(&content).and_then(|()| file.flush()),
        };
        written.with_context(|| cannot_write(&self.name))
    }
}

impl To {
    fn open(path: &Path) -> io::Result<To> {
        match Place::of(path)? {
            Place::Stdout => Ok(To::opened(standard(1), Box::new(io::stdout()))),
            Place::Stderr => Ok(To::opened(standard(2), Box::new(io::stderr()))),
            Place::Open(path) => {
                // Behind what others wrote, where it is a file.
                let is_file = path.metadata()?.is_file();
                let file = OpenOptions::new().write(true).append(is_file).open(path)?;
                Ok(To::opened(file.try_clone().ok(), Box::new(file)))
            }
            Place::File(place) => {
                replace::check(&place)?;
                Ok(To::Kept(Vec::new(), Target::Place(place)))
            }
        }
    }

    fn opened(file: Option<File>, stream: Box<dyn Write + Send>) -> To {
        let is_file = file.and_then(|file| file.metadata().ok());
        match is_file.is_some_and(|file| file.is_file()) {
            true => To::Kept(Vec::new(), Target::Opened(stream)),
            false => To::Listener(stream),
        }
    }
}

fn name(path: &Path) -> String {
    match is_stdio(path) {
        true => STDOUT.into(),
        false => path.display().to_string(),
    }
}

/// Standard input (0), output (1) or error (2) once more, to look at.
#[cfg(unix)]
fn standard(number: u32) -> Option<File> {
    use std::os::fd::AsFd;
    let again = match number {
        0 => io::stdin().as_fd().try_clone_to_owned(),
        1 => io::stdout().as_fd().try_clone_to_owned(),
        _ => io::stderr().as_fd().try_clone_to_owned(),
    };
    again.ok().map(File::from)
}

#[cfg(not(unix))]
fn standard(_: u32) -> Option<File> {
    None
}
