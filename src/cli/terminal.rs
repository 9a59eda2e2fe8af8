//! Words for the person: notes and errors on standard error, results on standard output.
//!
//! A reader that went away, as `| head` does, is no reason to fail, and std's `eprintln!` would panic
//! there. So everything that this program says goes through here.

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};

use anyhow::{Context, Result};

/// Standard output in sentences.
pub const STDOUT: &str = "standard output";
/// Standard error in sentences.
pub const STDERR: &str = "standard error";

/// Says a line on standard error. There is nobody to tell if that fails.
pub fn say(line: impl Display) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Writes text to standard output. A reader that went away has read enough.
pub fn print(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    unless_unread(written.with_context(|| cannot_write(STDOUT)))
}

/// The same result, but no error where the reader of what was written went away.
pub fn unless_unread(result: Result<()>) -> Result<()> {
    match result {
        Err(error) if is_unread(&error) => Ok(()),
        result => result,
    }
}

/// Whether the reader of what was written went away.
pub fn is_unread(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == ErrorKind::BrokenPipe)
}

/// How an error about writing begins.
pub fn cannot_write(name: &str) -> String {
    format!("cannot write {name}")
}

/// A line that is written over as work goes on. A log file has no use for it, so it is shown on a
/// terminal alone.
pub struct Progress {
    watched: bool,
    shown: bool,
}

impl Progress {
    pub fn new() -> Progress {
        Progress {
            watched: io::stderr().is_terminal(),
            shown: false,
        }
    }

    /// Shows how far the work is.
    pub fn show(&mut self, state: impl Display) {
        if self.watched {
            self.shown = true;
            let _ = io::stderr().write_all(format!("\r{state}").as_bytes());
        }
    }
}

impl Drop for Progress {
    /// What follows stands on a line of its own.
    fn drop(&mut self) {
        if self.shown {
            say("");
        }
    }
}
