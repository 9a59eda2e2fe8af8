//! Where the results of `bench` and `compare` go: a table for people, and `--json` for machines.

use std::io::Write;
use std::path::Path;

use super::output::{Output, is_stdio};
use anyhow::{Context, Result};
use serde::Serialize;

/// What an error is about.
const WRITING: &str = "cannot write the results";

/// An open `--json`, and whether standard output is free for the table.
pub struct Results {
    json: Option<Output>,
    shows_table: bool,
}

impl Results {
    /// Opens the file of `--json`, so that a place that cannot be written is known before the work.
    pub fn open(json: Option<&Path>) -> Result<Results> {
        Ok(Results {
            json: json.map(Output::open).transpose().context(WRITING)?,
            shows_table: json.is_none_or(|path| !is_stdio(path)),
        })
    }

    /// Writes the report, and the table where no JSON goes to standard output.
    pub fn write(self, report: &impl Serialize, table: impl FnOnce() -> String) -> Result<()> {
        if let Some(output) = self.json {
            let json = serde_json::to_string_pretty(report)? + "\n";
            output.complete(&json).context(WRITING)?;
        }
        if self.shows_table {
            std::io::stdout().write_all(table().as_bytes())?;
        }
        Ok(())
    }
}
