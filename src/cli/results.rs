//! Where the results of `bench` and `compare` go: a table for people, and `--json` for machines.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use super::output::{Claims, Output, is_stdout};
use super::terminal::{print, unless_unread};

/// What an error is about.
const WRITING: &str = "the results are lost";

/// An open `--json`, and whether standard output is free for the table.
pub struct Results {
    json: Option<Output>,
    shows_table: bool,
}

impl Results {
    /// Opens the file of `--json`, so that a place that cannot be written is known before the work.
    /// `claims`: the files that the command reads.
    pub fn open(json: Option<&Path>, mut claims: Claims) -> Result<Results> {
        let shows_table = json.is_none_or(|path| !is_stdout(path));
        if shows_table {
            claims.prints("the table")?;
        }
        if let Some(path) = json {
            claims.writes("--json", path)?;
        }
        Ok(Results {
            json: json.map(Output::open).transpose()?,
            shows_table,
        })
    }

    /// Writes the report, and the table where no JSON goes to standard output.
    pub fn write(self, report: &impl Serialize, table: impl FnOnce() -> String) -> Result<()> {
        let shown = match self.shows_table {
            true => print(&table()),
            false => Ok(()),
        };
        if let Some(output) = self.json {
            let json = serde_json::to_string_pretty(report)? + "\n";
            unless_unread(output.complete(&json)).context(WRITING)?;
        }
        shown
    }
}
