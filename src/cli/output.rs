//! Files that appear whole or not at all: written beside their place, renamed when done.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use mini_omni::audio::beside;

/// Whether a path means standard input or output.
pub fn is_stdio(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// A text file to come; opened early, so that an unwritable place is known before the work.
pub struct TextOutput {
    path: PathBuf,
    file: Option<tempfile::NamedTempFile>,
}

impl TextOutput {
    /// Opens a place beside `path`; "-" is standard output.
    pub fn create(path: &Path) -> Result<TextOutput> {
        let file = if is_stdio(path) { None } else { Some(beside(path).with_context(|| format!("cannot write {}", path.display()))?) };
        Ok(TextOutput { path: path.to_path_buf(), file })
    }

    /// Writes the text and puts the file in its place.
    pub fn finish(self, text: &str) -> Result<()> {
        let Some(mut file) = self.file else {
            std::io::stdout().write_all(text.as_bytes())?;
            return Ok(());
        };
        let failed = || format!("cannot write {}", self.path.display());
        file.write_all(text.as_bytes()).with_context(failed)?;
        file.persist(&self.path).with_context(failed)?;
        Ok(())
    }
}
