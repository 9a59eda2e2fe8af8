//! The judge: any command that is given a wav file and prints what it hears.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::cli::output::WavSink;

/// Of what a failed judge said, the end is told.
const LAST_WORDS: usize = 300;

/// A command, and a place for what it hears.
pub struct Judge {
    command: String,
    folder: TempDir,
}

impl Judge {
    pub fn new(command: &str) -> Result<Judge> {
        Ok(Judge {
            command: command.into(),
            folder: tempfile::tempdir().context("cannot make a folder for what the judge hears")?,
        })
    }

    /// What the judge hears of an answer's sound; nothing of none. `number`: no other answer has it.
    pub fn hear(&self, pcm: &[f32], sample_rate: u32, number: usize) -> Result<String> {
        if pcm.is_empty() {
            return Ok(String::new());
        }
        let path = self.folder.path().join(format!("{number}.wav"));
        let mut wav = WavSink::create(&path, sample_rate)?;
        wav.write(pcm)?;
        wav.finish()?;
        let heard = self.run(&path);
        std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        heard
    }

    fn run(&self, wav: &Path) -> Result<String> {
        let command = &self.command;
        let output = shell(command, wav)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run the judge {command:?}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let last: Vec<char> = said.trim().chars().rev().take(LAST_WORDS).collect();
            let last = String::from_iter(last.iter().rev());
            bail!("the judge {command:?} failed ({}): {last}", output.status);
        }
        let heard = String::from_utf8(output.stdout);
        let heard = heard.with_context(|| format!("the judge {command:?} printed no UTF-8"))?;
        Ok(heard.trim().into())
    }
}

/// The command with the file behind it, in the system's shell.
#[cfg(unix)]
fn shell(command: &str, wav: &Path) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("{command} \"$1\""), "judge"])
        .arg(wav);
    shell
}

#[cfg(not(unix))]
fn shell(command: &str, wav: &Path) -> Command {
    let mut shell = Command::new("cmd");
    shell.args(["/C", command]).arg(wav);
    shell
}
