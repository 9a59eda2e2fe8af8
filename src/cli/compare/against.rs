//! What a model is held against: another one, or a recording.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use mini_omni::compare::{
    Comparison, Entry, Located, Protocol, Recording, Side, compare, compare_recorded, locate,
};
use mini_omni::model::FILE_NAME as MANIFEST;
use mini_omni::{Manifest, Omni, Question, Runtime};

use super::inputs::Input;
use super::report::Computed;
use crate::cli::compute::{WindowArg, window};
use crate::cli::output::Claims;

/// The reference as its folder says, before any graph is opened.
pub enum Reference {
    Model(Box<Manifest>),
    Recording(Box<Recording>),
}

impl Reference {
    pub fn load(folder: &Path) -> Result<Reference> {
        check_there(folder)?;
        Ok(match Recording::is_in(folder) {
            true => Reference::Recording(Box::new(Recording::load(folder)?)),
            false => Reference::Model(Box::new(Manifest::load(folder)?)),
        })
    }

    pub fn manifest(&self) -> &Manifest {
        match self {
            Reference::Model(manifest) => manifest,
            Reference::Recording(recording) => &recording.manifest,
        }
    }

    /// Notes what is read of it and must not be written.
    pub fn claim(&self, folder: &Path, claims: &mut Claims) {
        match self {
            Reference::Model(manifest) => claims.reads_model(folder, manifest),
            Reference::Recording(recording) => {
                let files = recording.questions.iter().map(|entry| entry.file.as_str());
                for file in files.chain([Recording::file_name()]) {
                    claims.reads("a file of the recording", &folder.join(file));
                }
            }
        }
    }
}

/// The reference, ready to be compared with.
pub enum Against {
    Model(Box<Side>),
    Recording(PathBuf, Box<Recording>),
}

/// What is asked, one by one.
pub enum Asking<'a> {
    Input(&'a Input, Protocol),
    Recorded(&'a Entry),
}

impl Against {
    pub fn open(
        reference: Reference,
        folder: &Path,
        runtime: &Runtime,
        window: Option<WindowArg>,
    ) -> Result<Against> {
        Ok(match reference {
            Reference::Model(_) => {
                let side = side(folder, runtime, window)?;
                Against::Model(Box::new(side))
            }
            Reference::Recording(recording) => Against::Recording(folder.to_path_buf(), recording),
        })
    }

    /// As in a report.
    pub fn computed(&self, runtime: &Runtime) -> Computed {
        match self {
            Against::Model(side) => Computed::of(side, runtime),
            Against::Recording(_, recording) => Computed {
                model: recording.model.clone(),
                threads: recording.threads,
                onnxruntime: recording.onnxruntime.clone(),
                version: recording.version.clone(),
            },
        }
    }

    /// Most steps of its longest answer, where they are the reference's own.
    pub fn max_steps(&self) -> Option<usize> {
        match self {
            Against::Model(_) => None,
            Against::Recording(_, recording) => recording
                .questions
                .iter()
                .map(|entry| entry.max_steps)
                .max(),
        }
    }

    /// Why no node is at fault for features that are, where that is known.
    pub fn why_not_located(&self, candidate: &Side) -> String {
        match self {
            Against::Model(side) if side.window != candidate.window => format!(
                "the encoder windows differ, {} in the reference and {} in the candidate, and inside a graph both are given the reference's; give both one by --encoder-window and --reference-encoder-window",
                side.window.name(),
                candidate.window.name()
            ),
            _ => "no value inside the graph that both models have is beyond the band by itself"
                .into(),
        }
    }

    pub fn compare(
        &mut self,
        candidate: &mut Side,
        asking: &Asking,
        progress: impl FnMut(usize),
    ) -> Result<Comparison> {
        match (self, asking) {
            (Against::Model(side), Asking::Input(input, protocol)) => Ok(compare(
                side,
                candidate,
                &input.question,
                *protocol,
                progress,
            )?),
            (Against::Recording(folder, recording), Asking::Recorded(entry)) => {
                let recorded = recording.read(folder, entry)?;
                Ok(compare_recorded(recording, &recorded, candidate, progress)?)
            }
            _ => bail!("a recording has its own questions"),
        }
    }

    /// Goes inside the graph that the comparison of `input` puts at fault.
    pub fn locate(
        &mut self,
        candidate: &mut Side,
        (question, protocol): (&Question, Protocol),
        comparison: &Comparison,
        band: f64,
    ) -> Result<Option<Located>> {
        match self {
            Against::Model(side) => Ok(locate(
                side,
                candidate,
                (question, protocol),
                comparison,
                band,
            )?),
            Against::Recording(..) => bail!("a recording has no graphs to go inside"),
        }
    }
}

impl Asking<'_> {
    pub fn name(&self) -> &str {
        match self {
            Asking::Input(input, _) => &input.name,
            Asking::Recorded(entry) => &entry.name,
        }
    }
}

/// A sentence of its own for what is neither: that it is no complete model says half of it.
fn check_there(folder: &Path) -> Result<()> {
    let name = folder.display();
    let either = "give a model folder, or a recording that mini-omni record made";
    let there = std::fs::metadata(folder);
    match there.with_context(|| format!("cannot read --reference {name}; {either}"))? {
        there if !there.is_dir() => bail!("--reference {name} is no folder; {either}"),
        _ if Recording::is_in(folder) || folder.join(MANIFEST).exists() => Ok(()),
        _ => bail!(
            "--reference {name} is neither a model folder nor a recording: it has no {MANIFEST} and no {}",
            Recording::file_name()
        ),
    }
}

/// A model to be compared.
pub fn side(folder: &Path, runtime: &Runtime, asked: Option<WindowArg>) -> Result<Side> {
    let omni = Omni::load(folder, runtime)
        .with_context(|| format!("cannot compare {}", folder.display()))?;
    Ok(Side {
        window: window(asked, omni.manifest())?,
        omni,
    })
}
