//! `mini-omni bench`: where the milliseconds go, on this machine, as a table and as JSON.
//!
//! Every round is a whole answer through the same path as `ask`; a player is simulated that starts
//! with the first sound, so a late chunk is counted as the gap a listener would hear.

mod conversations;
mod player;
mod report;
mod stages;
mod verdict;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;

use mini_omni::{
    EncoderWindow, Manifest, Noise, Omni, Options, Pcm, Question, Runtime, Source, Task, audio,
    measure,
};

use super::ask::task_parser;
use super::compute::{Compute, WindowArg, window};
use super::machine::cpu;
use super::output::{Claims, is_stdout};
use super::results::{Results, json};
use super::stats::Stats;
use super::terminal::{Progress, say};
use conversations::Search;
use report::{Report, read_report, table};
use stages::{Round, Stages};

/// Positions at which the decoder alone is timed, and how many passes.
const POSITIONS: [usize; 2] = [100, 2000];
const PASSES: usize = 20;

#[derive(Args)]
pub struct Bench {
    /// The model folder
    #[arg(value_name = "MODEL")]
    model_dir: PathBuf,
    /// The spoken question; two seconds of quiet hum where not given
    #[arg(value_name = "FILE")]
    input: Option<PathBuf>,
    /// What to do; must be a task with a spoken question
    #[arg(long, value_parser = task_parser())]
    task: Option<Task>,
    /// Answers to time, after one to warm up
    #[arg(long, default_value_t = 5, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Steps of each answer
    #[arg(long, default_value_t = 107, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    /// How much the encoder hears; merged by default where the model has a plan for it, else full
    #[arg(long, value_enum)]
    encoder_window: Option<WindowArg>,
    /// Find how many conversations at once are sustained, up to N; they must speak
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..=1024))]
    conversations: Option<u16>,
    /// Length of each answer in a conversation; each asks three times
    #[arg(
        long,
        default_value_t = 20.0,
        value_name = "SECONDS",
        allow_negative_numbers = true,
        requires = "conversations"
    )]
    seconds: f64,
    /// How long a conversation's player holds the first sound back
    #[arg(
        long,
        default_value_t = 0,
        value_name = "MS",
        allow_negative_numbers = true,
        requires = "conversations"
    )]
    player_buffer: u16,
    /// Write the results here as JSON; - is standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Show how each stage changed since this earlier --json: slower, faster or no difference seen
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    #[command(flatten)]
    compute: Compute,
}

impl Bench {
    pub fn run(&self) -> Result<ExitCode> {
        let task = self.checked_task()?;
        let before = self.compare.as_deref().map(read_report).transpose()?;
        let manifest = Manifest::load(&self.model_dir)?;
        let results = Results::open(&[("--json", self.json.as_deref())], self.claims(&manifest))?;
        let pcm = self.input.as_deref().map_or_else(hum, audio::read)?;
        let runtime = self.compute.runtime()?;
        let mut omni = Omni::load(&self.model_dir, &runtime)?;
        let mut options = Options::for_task(task);
        options.max_steps = Some(self.steps as usize);
        options.noise = Noise::Seeded(0);
        options.window = Some(window(self.encoder_window, &manifest)?);
        // Time does not depend on what is heard, and what is timed has its whole length.
        options.answer_anything = true;
        options.trim = Some(false);
        let question = Question::Audio(pcm.clone());
        let mut stages = Stages::default();
        let rounds = self.rounds(&mut omni, &question, &options)?;
        stages.add_rounds(&rounds);
        if task.speaks() {
            let halved = self.rounds(&mut omni, &question, &text_ends_half_way(&options))?;
            stages.add_halved(&halved);
        }
        for position in POSITIONS {
            let passes = measure::time_steps(&mut omni, position, PASSES)?;
            stages.add(&format!("step at {position}"), passes);
        }
        let mut report = self.report(&omni, &runtime, &options, &pcm, &rounds);
        report.stages_ms = stages.0;
        if let Some(n) = self.conversations {
            let search = Search {
                most: n.into(),
                seconds: self.seconds,
                player_buffer: Duration::from_millis(self.player_buffer.into()),
            };
            report.conversations = Some(search.run(omni, &question, &options)?);
            report.peak_memory_mib = peak_memory_mib();
        }
        if let Some(before) = &before {
            for unlike in verdict::unlike(&report, before) {
                say(format_args!("warning: the runs are not alike: {unlike}"));
            }
        }
        results.write(|| table(&report, before.as_ref()), |_| json(&report))?;
        Ok(ExitCode::SUCCESS)
    }

    fn checked_task(&self) -> Result<Task> {
        let task = self.task.unwrap_or(Task::A1A2_BATCH);
        if task.source() != Source::Audio {
            bail!(
                "bench asks a spoken question; task {} takes a written one",
                task.name()
            );
        }
        if self.conversations.is_some() && !task.speaks() {
            bail!(
                "--conversations counts late sound, and task {} does not speak; give one that does",
                task.name()
            );
        }
        if !(self.seconds > 0.0 && self.seconds.is_finite()) {
            bail!(
                "--seconds {} makes no sense; give more than 0",
                self.seconds
            );
        }
        if self.compare.is_some() && self.json.as_deref().is_some_and(is_stdout) {
            bail!(
                "--compare is shown in the table, whose place --json - takes; give --json a file"
            );
        }
        Ok(task)
    }

    /// What is read and must not be written.
    fn claims(&self, manifest: &Manifest) -> Claims {
        let mut claims = Claims::default();
        claims.reads_model(&self.model_dir, manifest);
        for (what, path) in [
            ("the question", &self.input),
            ("what --compare reads", &self.compare),
        ] {
            path.iter().for_each(|path| claims.reads(what, path));
        }
        claims
    }

    fn rounds(
        &self,
        omni: &mut Omni,
        question: &Question,
        options: &Options,
    ) -> Result<Vec<Round>> {
        let mut rounds = Vec::new();
        let mut progress = Progress::new();
        for round in 0..=self.rounds {
            progress.show(format_args!("round {round} of {}", self.rounds));
            let timed = Round::run(omni, question, options)?;
            if round > 0 {
                rounds.push(timed);
            }
        }
        Ok(rounds)
    }

    fn report(
        &self,
        omni: &Omni,
        runtime: &Runtime,
        options: &Options,
        pcm: &Pcm,
        rounds: &[Round],
    ) -> Report {
        let rate = omni.manifest().codec.sample_rate;
        let factors = rounds
            .iter()
            .filter_map(|r| r.trace.real_time_factor(rate))
            .collect();
        Report {
            version: env!("CARGO_PKG_VERSION").into(),
            onnxruntime: runtime.version(),
            cpu: cpu(),
            threads: runtime.threads(),
            provider: runtime.provider().name().into(),
            kernels: Some(runtime.kernels().name().into()),
            model: omni.manifest().name.clone(),
            model_hash: omni.manifest().hash(),
            precision: omni.manifest().precision.clone(),
            task: options.task.name().into(),
            encoder_window: options.window.map_or("full", EncoderWindow::name).into(),
            question_seconds: pcm.seconds(),
            steps: Some(self.steps),
            load_ms: rounds[0].trace.timings_ms.load,
            stages_ms: Vec::new(),
            real_time_factor: Stats::of(factors),
            underruns: rounds.iter().map(|round| round.underruns).sum(),
            peak_memory_mib: peak_memory_mib(),
            conversations: None,
        }
    }
}

/// The same options, for an answer of their most steps with text in its first half alone.
fn text_ends_half_way(options: &Options) -> Options {
    match options.max_steps {
        Some(steps) => measure::forced(options, steps / 2),
        None => options.clone(),
    }
}

/// Two seconds of quiet hum: time does not depend on what is heard.
fn hum() -> Result<Pcm, audio::AudioError> {
    let sample = |i: usize| 0.1 * (i as f32 * 0.05).sin();
    Pcm::new((0..32_000).map(sample).collect(), 16_000)
}

/// The most memory this process held at once, where the system tells (Linux).
fn peak_memory_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}
