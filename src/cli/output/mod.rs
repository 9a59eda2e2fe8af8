//! Outputs that appear whole or not at all.
//!
//! A file is written beside its place and renamed when it is done; a link keeps pointing to it.
//! Standard output, pipes and devices cannot be renamed to and are written to directly.

mod wav;

pub use wav::WavSink;

use std::fs;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// A file, pipe or device being written.
pub enum Output {
    /// Flushed at every write, so that a listener hears at once.
    Stream(Box<dyn Write>),
    /// Renamed to `place` at the end.
    File {
        file: BufWriter<NamedTempFile>,
        place: PathBuf,
    },
}

/// Whether a path means standard input or output.
pub fn is_stdio(path: &Path) -> bool {
    path.as_os_str() == "-"
}

impl Output {
    /// Opens a place beside `path`, or `path` itself where it is no file; "-" is standard output.
    pub fn open(path: &Path) -> io::Result<Output> {
        if is_stdio(path) {
            return Ok(Output::Stream(Box::new(io::stdout())));
        }
        match fs::metadata(path) {
            Ok(place) if place.is_dir() => Err(io::Error::other("it is a folder")),
            // A pipe or a device such as /dev/null is written to, not replaced.
            Ok(place) if !place.is_file() => {
                let stream = fs::OpenOptions::new().write(true).open(path)?;
                Ok(Output::Stream(Box::new(stream)))
            }
            _ => {
                // Behind a link the file is replaced, not the link.
                let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
                Ok(Output::File {
                    file: BufWriter::new(beside(&place)?),
                    place,
                })
            }
        }
    }

    /// Appends bytes.
    pub fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Output::Stream(stream) => {
                stream.write_all(bytes)?;
                stream.flush()
            }
            Output::File { file, .. } => file.write_all(bytes),
        }
    }

    /// Appends the whole of a text and puts the file in its place.
    pub fn complete(mut self, text: &str) -> io::Result<()> {
        self.put(text.as_bytes())?;
        self.finish(&[])
    }

    /// Puts the file in its place. `header` overwrites its first bytes, for formats whose beginning
    /// says how long they are; a stream keeps the beginning it had.
    pub fn finish(self, header: &[u8]) -> io::Result<()> {
        match self {
            Output::Stream(mut stream) => stream.flush(),
            Output::File { file, place } => {
                let mut file = file.into_inner()?;
                file.seek(SeekFrom::Start(0))?;
                file.write_all(header)?;
                file.persist(place)?;
                Ok(())
            }
        }
    }
}

fn beside(path: &Path) -> io::Result<NamedTempFile> {
    let folder = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".mini-omni-");
    // Temporary files are private by default; an answer is an ordinary file.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}
