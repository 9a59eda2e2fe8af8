//! `mini-omni compare`: does this model still say what that one says, as a table, as JSON, and as an
//! exit code.

mod inputs;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use mini_omni::compare::{Protocol, Side, check_shapes, compare};
use mini_omni::{Manifest, Omni, Options, Provider, Runtime, Source, Task};

use self::inputs::{Input, inputs};
use self::report::{Asked, Model, Report, all, streams, table};
use super::EXIT_DISAGREES;
use super::ask::task_parser;
use super::compute::{Compute, WindowArg, window};
use super::output::Claims;
use super::results::Results;
use super::terminal::{Progress, say};

#[derive(Args)]
pub struct Compare {
    /// The model folder in question
    #[arg(value_name = "MODEL")]
    model_dir: PathBuf,
    /// The model folder it is held against; always computed on the CPU
    #[arg(long, value_name = "MODEL")]
    reference: PathBuf,
    /// Spoken questions: any that ask reads; a few built-in questions where nothing is given
    #[arg(value_name = "FILE")]
    inputs: Vec<PathBuf>,
    /// A written question; may be given several times
    #[arg(long, allow_hyphen_values = true)]
    text: Vec<String>,
    /// What to do; questions of the other kind get their default, a1a2-batch for a spoken one, t1a2
    /// for a written one
    #[arg(long, value_parser = task_parser())]
    task: Option<Task>,
    /// Most steps of each answer; 12 steps are a second of speech
    #[arg(long, default_value_t = 60, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..))]
    max_steps: u32,
    /// How much the model's encoder hears; merged by default where it has a plan for it, else full
    #[arg(long, value_enum)]
    encoder_window: Option<WindowArg>,
    /// How much the reference's encoder hears; merged by default where it has a plan for it, else full
    #[arg(long, value_enum)]
    reference_encoder_window: Option<WindowArg>,
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
        for text in &self.text {
            Omni::check_text(&self.reference, text, &Options::for_task(Task::T1A2))
                .with_context(|| format!("cannot compare by {text:?}"))?;
        }
        let inputs = inputs(&self.inputs, &self.text, &reference.mel)?;
        for note in self.without_effect(&inputs) {
            say(format_args!("note: {note}"));
        }
        let results = Results::open(self.json.as_deref(), self.claims(&reference, &candidate))?;
        let report = self.report(&inputs)?;
        results.write(&report, || table(&report))?;
        Ok(self.verdict(report.agreement))
    }

    /// A sentence for each option that was given for nothing.
    fn without_effect(&self, inputs: &[Input]) -> Vec<String> {
        let none = |source: Source| inputs.iter().all(|i| i.question.source() != source);
        let task_unused = self.task.is_some_and(|task| none(task.source()));
        let unheard = none(Source::Audio);
        // (given for nothing, option, why)
        let rows = [
            (task_unused, "--task", "since no question is of its kind"),
            (
                unheard && self.encoder_window.is_some(),
                "--encoder-window",
                "on written questions",
            ),
            (
                unheard && self.reference_encoder_window.is_some(),
                "--reference-encoder-window",
                "on written questions",
            ),
        ];
        let given = rows.into_iter().filter(|(useless, ..)| *useless);
        given
            .map(|(_, option, why)| format!("{option} has no effect {why}"))
            .collect()
    }

    /// What is read and must not be written.
    fn claims(&self, reference: &Manifest, candidate: &Manifest) -> Claims {
        let mut claims = Claims::default();
        claims.reads_model(&self.model_dir, candidate);
        claims.reads_model(&self.reference, reference);
        for path in &self.inputs {
            claims.reads("a question", path);
        }
        claims
    }

    fn report(&self, inputs: &[Input]) -> Result<Report> {
        let runtime = self.compute.runtime()?;
        let on_cpu = runtime.with_provider(Provider::Cpu)?;
        let mut reference = side(&self.reference, &on_cpu, self.reference_encoder_window)?;
        let mut candidate = side(&self.model_dir, &runtime, self.encoder_window)?;
        let asked = self.ask(&mut reference, &mut candidate, inputs)?;
        let streams = streams(&asked);
        let model = |side: &Side, runtime: &Runtime| {
            let (window, provider) = (side.window.name(), runtime.provider().name());
            Model::of(side.omni.manifest(), window, provider)
        };
        Ok(Report {
            version: env!("CARGO_PKG_VERSION").into(),
            onnxruntime: runtime.version(),
            threads: runtime.threads(),
            reference: model(&reference, &on_cpu),
            candidate: model(&candidate, &runtime),
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
        let mut shown = Progress::new();
        let mut asked = Vec::with_capacity(inputs.len());
        for (i, input) in inputs.iter().enumerate() {
            let mut progress = |step: usize| {
                let (i, n) = (i + 1, inputs.len());
                shown.show(format_args!("question {i} of {n}, step {step:<5}"));
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
        Ok(asked)
    }

    fn verdict(&self, agreement: f64) -> ExitCode {
        match self.min_agreement {
            Some(least) if agreement < least => {
                say(format_args!(
                    "agreement {agreement:.4} is below --min-agreement {least}"
                ));
                ExitCode::from(EXIT_DISAGREES)
            }
            _ => ExitCode::SUCCESS,
        }
    }
}

fn side(folder: &std::path::Path, runtime: &Runtime, asked: Option<WindowArg>) -> Result<Side> {
    let omni = Omni::load(folder, runtime)?;
    Ok(Side {
        window: window(asked, omni.manifest())?,
        omni,
    })
}
