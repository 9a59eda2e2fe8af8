//! `mini-omni compare`: does this model still say what that one says, as a table, as files for machines
//! and people, and as an exit code.

mod against;
mod gates;
mod html;
pub mod inputs;
mod junit;
mod markdown;
mod report;
mod run;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{ArgGroup, Args};
use mini_omni::compare::{Protocol, check_shapes};
use mini_omni::{Manifest, Omni, Options, Source, Task};

pub use self::against::side;
use self::against::{Asking, Reference};
use self::gates::{Gates, Verdict};
use self::html::html;
use self::inputs::{Input, inputs};
use self::junit::junit;
use self::markdown::markdown;
use self::report::Report;
use self::table::table;
use super::EXIT_DISAGREES;
use super::ask::task_parser;
use super::compute::{Compute, WindowArg};
use super::output::{Claims, Output};
use super::results::{Results, json};
use super::terminal::say;

/// Steps of an answer where nobody says otherwise: five seconds of speech.
const MAX_STEPS: u32 = 60;
/// The error above which a stage is at fault where nobody says otherwise: a hundred times what threads,
/// processors and operators change by rounding.
const BAND: f64 = 1e-3;
/// Runs of a calibration.
const RUNS: usize = 5;

#[derive(Args)]
#[command(group = ArgGroup::new("held").args(["gates", "min_agreement"]).multiple(true))]
pub struct Compare {
    /// The model folder in question
    #[arg(value_name = "MODEL")]
    model_dir: PathBuf,
    /// What it is held against: a model folder, always computed on the CPU by its fastest kernels, or
    /// what record made of one
    #[arg(long, value_name = "MODEL|RECORDING")]
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
    /// Most steps of each answer; 12 steps are a second of speech. A recording has its own [default: 60]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..))]
    max_steps: Option<u32>,
    /// How much the model's encoder hears; merged by default where it has a plan for it, else full
    #[arg(long, value_enum)]
    encoder_window: Option<WindowArg>,
    /// How much the reference's encoder hears; merged by default where it has a plan for it, else full
    #[arg(long, value_enum)]
    reference_encoder_window: Option<WindowArg>,
    /// Error above which a stage, or a node of a graph, is at fault
    #[arg(long, default_value_t = BAND, value_name = "X", allow_negative_numbers = true)]
    band: f64,
    /// Go inside the graph of the first stage at fault and name the first node that is
    #[arg(long)]
    locate: bool,
    /// Exit with 1 where fewer of the reference's ids than this share, 0 to 1, are the model's too
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    min_agreement: Option<f64>,
    /// Exit with 1 where a figure is not what this file asks for
    #[arg(long, value_name = "FILE")]
    gates: Option<PathBuf>,
    /// Write the file of --gates: the worst of five runs and some slack, for the figures that are in it
    /// already, or for all
    #[arg(long, requires = "gates")]
    calibrate: bool,
    /// Write the results here as JSON; - is standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the gates here as JUnit's XML; needs --gates or --min-agreement
    #[arg(long, value_name = "FILE", requires = "held")]
    junit: Option<PathBuf>,
    /// Write the results here as Markdown, for the summary page of a job
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Write the results here as one page with pictures and sounds
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Questions that the page shows with their steps and sounds, the worst first
    #[arg(long, default_value_t = 5, value_name = "N", requires = "html")]
    worst: u16,
    #[command(flatten)]
    compute: Compute,
}

impl Compare {
    pub fn run(&self) -> Result<ExitCode> {
        self.check_numbers()?;
        let reference = Reference::load(&self.reference)?;
        let candidate = Manifest::load(&self.model_dir)?;
        check_shapes(reference.manifest(), &candidate)?;
        let inputs = self.inputs(&reference)?;
        for note in self.without_effect(&inputs, &reference) {
            say(format_args!("note: {note}"));
        }
        let earlier = self.earlier_gates()?;
        let mut claims = self.claims(&reference, &candidate);
        let gates = self.open_gates(&mut claims)?;
        let results = Results::open(&self.outputs(), claims)?;
        let sample_rate = candidate.codec.sample_rate;
        let mut runs = self.runs(reference, &inputs)?;
        if let Some(output) = gates {
            output.complete(&gates::calibrated(&runs, earlier.as_ref())?)?;
        }
        let mut report = runs.swap_remove(0);
        let gates = match self.calibrate {
            true => self.gates.as_deref().map(Gates::read).transpose()?,
            false => earlier,
        };
        let least = self.min_agreement;
        let least = least.map(|limit| Verdict::of_agreement(limit, &report));
        let judged = gates.iter().flat_map(|gates| gates.judge(&report));
        report.gates = least.into_iter().chain(judged).collect();
        let content = |option| match option {
            0 => json(&report),
            1 => Ok(junit(&report)),
            2 => Ok(markdown(&report)),
            _ => html(&report, self.worst.into(), sample_rate),
        };
        results.write(|| table(&report), content)?;
        Ok(verdict(&report))
    }

    fn check_numbers(&self) -> Result<()> {
        if let Some(x) = self.min_agreement.filter(|x| !(0.0..=1.0).contains(x)) {
            bail!("--min-agreement {x} makes no sense; give a share from 0 to 1");
        }
        if !self.band.is_finite() || self.band < 0.0 {
            bail!(
                "--band {} makes no sense; give a number from 0 on",
                self.band
            );
        }
        Ok(())
    }

    /// Nothing where a recording has questions of its own.
    fn inputs(&self, reference: &Reference) -> Result<Vec<Input>> {
        let Reference::Model(manifest) = reference else {
            if self.locate {
                bail!(
                    "--locate needs the reference itself, and {} is a recording; give the model folder it was made of",
                    self.reference.display()
                );
            }
            return Ok(Vec::new());
        };
        for text in &self.text {
            Omni::check_text(&self.reference, text, &Options::for_task(Task::T1A2))
                .with_context(|| format!("cannot compare by {text:?}"))?;
        }
        inputs(&self.inputs, &self.text, &manifest.mel)
    }

    /// A sentence for each option that was given for nothing.
    fn without_effect(&self, inputs: &[Input], reference: &Reference) -> Vec<String> {
        let none = |source: Source| inputs.iter().all(|i| i.question.source() != source);
        let recorded = matches!(reference, Reference::Recording(_));
        let task_unused = !recorded && self.task.is_some_and(|task| none(task.source()));
        let unheard = !recorded && none(Source::Audio);
        let asked = "since a recording has its own questions";
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
            (recorded && self.task.is_some(), "--task", asked),
            (recorded && self.max_steps.is_some(), "--max-steps", asked),
            (recorded && !self.text.is_empty(), "--text", asked),
            (recorded && !self.inputs.is_empty(), "FILE", asked),
            (
                recorded && self.reference_encoder_window.is_some(),
                "--reference-encoder-window",
                "on a recording",
            ),
        ];
        let given = rows.into_iter().filter(|(useless, ..)| *useless);
        given
            .map(|(_, option, why)| format!("{option} has no effect {why}"))
            .collect()
    }

    /// What is read and must not be written.
    fn claims(&self, reference: &Reference, candidate: &Manifest) -> Claims {
        let mut claims = Claims::default();
        claims.reads_model(&self.model_dir, candidate);
        reference.claim(&self.reference, &mut claims);
        for path in &self.inputs {
            claims.reads("a question", path);
        }
        if let Some(path) = self.gates.as_deref().filter(|_| !self.calibrate) {
            claims.reads("the gates", path);
        }
        claims
    }

    /// The gates to hold, or those whose choice and reasons a calibration keeps.
    fn earlier_gates(&self) -> Result<Option<Gates>> {
        let path = self.gates.as_deref();
        path.filter(|path| !self.calibrate || path.exists())
            .map(Gates::read)
            .transpose()
    }

    fn open_gates(&self, claims: &mut Claims) -> Result<Option<Output>> {
        let path = self.gates.as_deref().filter(|_| self.calibrate);
        let open = |path| {
            claims.writes("--calibrate", path)?;
            Output::open(path)
        };
        path.map(open).transpose()
    }

    /// Files to write, in the order of their contents.
    fn outputs(&self) -> [(&'static str, Option<&std::path::Path>); 4] {
        [
            ("--json", self.json.as_deref()),
            ("--junit", self.junit.as_deref()),
            ("--markdown", self.markdown.as_deref()),
            ("--html", self.html.as_deref()),
        ]
    }

    fn protocol(&self, input: &Input) -> Protocol {
        input.protocol(self.task, self.max_steps.unwrap_or(MAX_STEPS))
    }

    fn asking<'a>(&self, inputs: &'a [Input]) -> Vec<Asking<'a>> {
        let asking = |input: &'a Input| Asking::Input(input, self.protocol(input));
        inputs.iter().map(asking).collect()
    }
}

/// Names each gate that fell.
fn verdict(report: &Report) -> ExitCode {
    let fallen = report.gates.iter().filter(|gate| !gate.passed);
    fallen.for_each(|gate| say(gate.sentence()));
    match report.gates.iter().all(|gate| gate.passed) {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(EXIT_DISAGREES),
    }
}
