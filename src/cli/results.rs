//! Where the results of `bench`, `compare` and `eval` go: a table for people, and files for machines.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use super::output::{Claims, Output, is_stdout};
use super::terminal::{print, unless_unread};

/// What an error is about.
const WRITING: &str = "the results are lost";

/// Open files, one an option that was given, and whether standard output is free for the table.
pub struct Results {
    outputs: Vec<Option<Output>>,
    shows_table: bool,
}

impl Results {
    /// Opens the file of each option, so that a place that cannot be written is known before the
    /// work. `claims`: the files that the command reads.
    pub fn open(options: &[(&str, Option<&Path>)], mut claims: Claims) -> Result<Results> {
        let shows_table = !options.iter().any(|(_, path)| path.is_some_and(is_stdout));
        if shows_table {
            claims.prints("the table")?;
        }
        for (option, path) in options {
            path.map_or(Ok(()), |path| claims.writes(option, path))?;
        }
        let open = |(_, path): &(_, Option<&Path>)| path.map(Output::open).transpose();
        Ok(Results {
            outputs: options.iter().map(open).collect::<Result<_>>()?,
            shows_table,
        })
    }

    /// Writes the table where no file is standard output, and what `content` makes for each option
    /// that was given, by its place among them.
    pub fn write(
        self,
        table: impl FnOnce() -> String,
        mut content: impl FnMut(usize) -> Result<String>,
    ) -> Result<()> {
        let shown = match self.shows_table {
            true => print(&table()),
            false => Ok(()),
        };
        for (i, output) in self.outputs.into_iter().enumerate() {
            if let Some(output) = output {
                unless_unread(output.complete(&content(i)?)).context(WRITING)?;
            }
        }
        shown
    }
}

/// A report for machines.
pub fn json(report: &impl Serialize) -> Result<String> {
    Ok(serde_json::to_string_pretty(report)? + "\n")
}
