//! `mini-omni record`: a model's answers as a folder that later models are held against.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use mini_omni::compare::{Recorded, Recording};
use mini_omni::{Manifest, Task};

use super::ask::task_parser;
use super::compare::inputs::inputs;
use super::compare::side;
use super::compute::{Compute, WindowArg};
use super::output::Folder;
use super::terminal::{Progress, say};

#[derive(Args)]
pub struct Record {
    /// The model folder to record
    #[arg(value_name = "MODEL")]
    model_dir: PathBuf,
    /// Spoken questions: any that ask reads; a few built-in questions where nothing is given
    #[arg(value_name = "FILE")]
    inputs: Vec<PathBuf>,
    /// A written question; may be given several times
    #[arg(long, allow_hyphen_values = true)]
    text: Vec<String>,
    /// The folder to make; it must not be there, or be empty
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// What to do; questions of the other kind get their default, a1a2-batch for a spoken one, t1a2
    /// for a written one
    #[arg(long, value_parser = task_parser())]
    task: Option<Task>,
    /// Most steps of each answer; 12 steps are a second of speech
    #[arg(long, default_value_t = 60, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..))]
    max_steps: u32,
    /// Keep the logits of the first step and of every Nth after it; ids are kept of all
    #[arg(long, default_value_t = 8, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..))]
    logits_every: u32,
    /// How much the encoder hears; merged by default where the model has a plan for it, else full
    #[arg(long, value_enum)]
    encoder_window: Option<WindowArg>,
    #[command(flatten)]
    compute: Compute,
}

impl Record {
    pub fn run(&self) -> Result<ExitCode> {
        let manifest = Manifest::load(&self.model_dir)?;
        let inputs = inputs(&self.inputs, &self.text, &manifest.mel)?;
        let mut folder = Folder::open(&self.out)?;
        let runtime = self.compute.runtime()?;
        let mut side = side(&self.model_dir, &runtime, self.encoder_window)?;
        let mut recording = Recording::new(manifest, side.window, &runtime);
        let mut shown = Progress::new();
        for (i, input) in inputs.iter().enumerate() {
            let progress = |step: usize| {
                let (i, n) = (i + 1, inputs.len());
                shown.show(format_args!("question {i} of {n}, step {step:<5}"));
            };
            let protocol = input.protocol(self.task, self.max_steps);
            let every = self.logits_every as usize;
            let recorded = Recorded::of(&mut side, &input.question, protocol, every, progress)
                .with_context(|| format!("cannot record {}", input.name))?;
            let file = format!("{i:04}.safetensors");
            let (entry, bytes) = recorded.to_file(&input.name, &file)?;
            folder.put(&file, &bytes)?;
            recording.questions.push(entry);
        }
        drop(shown);
        folder.put(Recording::file_name(), recording.to_json()?.as_bytes())?;
        folder.finish()?;
        let n = recording.questions.len();
        say(format_args!("{n} answers in {}", self.out.display()));
        Ok(ExitCode::SUCCESS)
    }
}
