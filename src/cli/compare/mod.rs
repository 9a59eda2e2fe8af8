//! `mini-omni compare`: does this model still say what that one says, as a table, as JSON, and as an
//! exit code.

mod inputs;
mod report;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use mini_omni::compare::{Protocol, Side, check_shapes, compare};
use mini_omni::{Manifest, Omni, Provider, Runtime, Task};

use self::inputs::{Input, inputs};
use self::report::{Asked, Model, Report, all, streams, table};
use super::Compute;
use super::ask::{WindowArg, task_parser};
use super::results::Results;

/// Exit code where the models agree less than asked for.
const EXIT_DISAGREES: u8 = 1;

#[derive(Args)]
pub struct Compare {
    /// The model folder in question
    model_dir: PathBuf,
    /// The model folder it is held against; always computed on the CPU
    #[arg(long, value_name = "MODEL_DIR")]
    reference: PathBuf,
    /// Spoken questions: wav, flac, mp3 or ogg; a few built-in questions where nothing is given
    inputs: Vec<PathBuf>,
    /// A written question; may be given several times
    #[arg(long)]
    text: Vec<String>,
    /// What to do; questions of the other kind get their default, a1a2-batch for a spoken one, t1a2
    /// for a written one
    #[arg(long, value_parser = task_parser())]
    task: Option<Task>,
    /// Most steps of each answer; 12 steps are a second of speech
    #[arg(long, default_value_t = 60, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_steps: u32,
    /// How much the model's encoder hears: its full window, or only the clip
    #[arg(long, value_enum, default_value_t = WindowArg::Full)]
    encoder_window: WindowArg,
    /// How much the reference's encoder hears
    #[arg(long, value_enum, default_value_t = WindowArg::Full)]
    reference_encoder_window: WindowArg,
    /// Exit with 1 where fewer of the reference's ids than this share, 0 to 1, are the model's too
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    min_agreement: Option<f64>,
    /// Write the results here as JSON; - is standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    compute: Compute,
}

impl Compare {
    pub fn run(&self) -> Result<ExitCode> {
        if let Some(x) = self.min_agreement.filter(|x| !(0.0..=1.0).contains(x)) {
            bail!("--min-agreement {x} makes no sense; give a share from 0 to 1");
        }
        let reference = Manifest::load(&self.reference)?;
        let candidate = Manifest::load(&self.model_dir)?;
        check_shapes(&reference, &candidate)?;
        let inputs = inputs(&self.inputs, &self.text, &reference.mel)?;
        let results = Results::open(self.json.as_deref())?;
        let report = self.report(&inputs)?;
        results.write(&report, || table(&report))?;
        Ok(self.verdict(report.agreement))
    }

    fn report(&self, inputs: &[Input]) -> Result<Report> {
        let runtime = self.compute.runtime()?;
        let on_cpu = runtime.with_provider(Provider::Cpu)?;
        let mut reference = side(&self.reference, &on_cpu, self.reference_encoder_window)?;
        let mut candidate = side(&self.model_dir, &runtime, self.encoder_window)?;
        let asked = self.ask(&mut reference, &mut candidate, inputs)?;
        let streams = streams(&asked);
        let model = |side: &Side, window: WindowArg, runtime: &Runtime| {
            Model::of(
                side.omni.manifest(),
                window.name(),
                runtime.provider().name(),
            )
        };
        Ok(Report {
            version: env!("CARGO_PKG_VERSION").into(),
            onnxruntime: runtime.version(),
            threads: runtime.threads(),
            reference: model(&reference, self.reference_encoder_window, &on_cpu),
            candidate: model(&candidate, self.encoder_window, &runtime),
            max_steps: self.max_steps as usize,
            inputs: asked,
            agreement: all(streams.iter().copied()).share(),
            streams,
            min_agreement: self.min_agreement,
        })
    }

    fn ask(
        &self,
        reference: &mut Side,
        candidate: &mut Side,
        inputs: &[Input],
    ) -> Result<Vec<Asked>> {
        let watched = std::io::stderr().is_terminal();
        let mut asked = Vec::with_capacity(inputs.len());
        for (i, input) in inputs.iter().enumerate() {
            let mut progress = |step: usize| {
                if watched {
                    eprint!("\rquestion {} of {}, step {step:<5}", i + 1, inputs.len());
                }
            };
            let source = input.question.source();
            let chosen = self.task.filter(|task| task.source() == source);
            let protocol = Protocol {
                task: chosen.unwrap_or_else(|| Task::default_for(source)),
                max_steps: self.max_steps as usize,
            };
            let question = &input.question;
            let comparison = compare(reference, candidate, question, protocol, &mut progress)
                .with_context(|| format!("cannot compare by {}", input.name))?;
            asked.push(Asked {
                input: input.name.clone(),
                comparison,
            });
        }
        if watched {
            eprintln!();
        }
        Ok(asked)
    }

    fn verdict(&self, agreement: f64) -> ExitCode {
        match self.min_agreement {
            Some(least) if agreement < least => {
                eprintln!("agreement {agreement:.4} is below --min-agreement {least}");
                ExitCode::from(EXIT_DISAGREES)
            }
            _ => ExitCode::SUCCESS,
        }
    }
}

fn side(folder: &std::path::Path, runtime: &Runtime, window: WindowArg) -> Result<Side> {
    Ok(Side {
        omni: Omni::load(folder, runtime)?,
        window: window.into(),
    })
}
