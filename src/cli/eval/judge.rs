//! The judge: any command that is given a wav file and prints what it hears.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::children::{Bounds, Children, Outcome};
use crate::cli::output::WavSink;
use crate::cli::signals;

/// Of what a failed judge said, the end is told.
const LAST_WORDS: usize = 300;
/// Bytes of what a judge prints. A minute of speech is a thousand.
const MOST_PRINTED: usize = 1 << 20;

/// A command, and a place for what it hears.
pub struct Judge {
    command: String,
    bounds: Bounds,
    folder: TempDir,
    children: Arc<Children>,
}

impl Judge {
    /// A judge that takes at most `time` for an answer. A signal that ends this program ends it, too. To
    /// be made before any output is opened.
    pub fn new(command: &str, time: Duration) -> Result<Judge> {
        let folder =
            tempfile::tempdir().context("cannot make a folder for what the judge hears")?;
        let judge = Judge {
            command: command.into(),
            bounds: Bounds {
                time,
                bytes: MOST_PRINTED,
            },
            folder,
            children: Arc::default(),
        };
        let (children, folder) = (judge.children.clone(), PathBuf::from(judge.folder.path()));
        let clean = move || {
            children.end();
            // There is nobody to tell if that fails.
            let _ = std::fs::remove_dir_all(&folder);
        };
        signals::cleaned(clean).context("cannot wait for signals")?;
        Ok(judge)
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
        let name = format!("the judge {:?}", self.command);
        let outcome = self
            .children
            .run(&mut shell(&self.command, wav), self.bounds);
        match outcome.with_context(|| format!("cannot run {name}"))? {
            Outcome::TooLong => bail!(
                "{name} has not ended after {} s; --judge-seconds gives it more",
                self.bounds.time.as_secs()
            ),
            Outcome::TooMuch => bail!("{name} prints more than {} MiB", MOST_PRINTED >> 20),
            Outcome::Ended { status, said, .. } if !status.success() => {
                bail!("{name} failed ({status}): {}", last_words(&said))
            }
            Outcome::Ended { printed, .. } => {
                let heard = String::from_utf8(printed);
                let heard = heard.with_context(|| format!("{name} printed no UTF-8"))?;
                Ok(heard.trim().into())
            }
        }
    }
}

fn last_words(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let last: Vec<char> = said.trim().chars().rev().take(LAST_WORDS).collect();
    match last.is_empty() {
        true => "it said nothing on standard error".into(),
        false => String::from_iter(last.iter().rev()),
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
