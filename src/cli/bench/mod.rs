//! `mini-omni bench`: where the milliseconds go, on this machine, as a table and as JSON.
//!
//! Every round is a whole answer through the same path as `ask`; a player is simulated that starts
//! with the first sound, so a late chunk is counted as the gap a listener would hear.

mod conversations;
mod player;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;
use mini_omni::stats::Stats;
use mini_omni::task::{A1A2_BATCH, Source, Task};
use mini_omni::turn::Forced;
use mini_omni::{Event, Noise, Omni, Options, Pcm, Question, Runtime, Trace, audio};

use super::Compute;
use super::ask::{WindowArg, task_parser};
use super::results::Results;
use conversations::Search;
use player::Player;
use report::{Report, read_report, table};

/// Where in the answer a step is counted as early or late, positions.
const POSITION_BAND: usize = 50;
/// Positions at which the decoder alone is timed, and how many passes.
const POSITIONS: [usize; 2] = [100, 2000];
const PASSES: usize = 20;

#[derive(Args)]
pub struct Bench {
    /// The model folder
    model_dir: PathBuf,
    /// The spoken question; two seconds of quiet hum where not given
    input: Option<PathBuf>,
    /// What to do; must be a task with a spoken question
    #[arg(long, value_parser = task_parser())]
    task: Option<&'static Task>,
    /// Answers to time, after one to warm up
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Steps of each answer
    #[arg(long, default_value_t = 107, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    /// How much the encoder hears: its full window, or only the clip
    #[arg(long, value_enum, default_value_t = WindowArg::Full)]
    encoder_window: WindowArg,
    /// Find how many conversations at once are on time, up to N; they must speak
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    conversations: Option<u16>,
    /// Length of each conversation's answer
    #[arg(
        long,
        default_value_t = 60.0,
        value_name = "S",
        requires = "conversations"
    )]
    seconds: f64,
    /// How long a conversation's player holds the first sound back
    #[arg(
        long,
        default_value_t = 0,
        value_name = "MS",
        requires = "conversations"
    )]
    player_buffer: u16,
    /// Write the results here as JSON; - is standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Print the change against an earlier --json
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    #[command(flatten)]
    compute: Compute,
}

impl Bench {
    pub fn run(&self) -> Result<ExitCode> {
        let task = self.task.unwrap_or(&A1A2_BATCH);
        if task.source != Source::Audio {
            bail!(
                "bench asks a spoken question; task {} takes a written one",
                task.name
            );
        }
        if self.conversations.is_some() && !task.speaks() {
            bail!(
                "--conversations counts late sound, and task {} does not speak; give one that does",
                task.name
            );
        }
        if !(self.seconds > 0.0 && self.seconds.is_finite()) {
            bail!(
                "--seconds {} makes no sense; give more than 0",
                self.seconds
            );
        }
        let before = self.compare.as_deref().map(read_report).transpose()?;
        let results = Results::open(self.json.as_deref())?;
        let pcm = self
            .input
            .as_deref()
            .map_or_else(|| Ok(hum()), audio::read)?;
        let runtime = self.compute.runtime()?;
        let mut omni = Omni::load(&self.model_dir, &runtime)?;
        let options = Options {
            max_steps: Some(self.steps as usize),
            noise: Noise::Seeded(0),
            window: self.encoder_window.into(),
            ..Options::for_task(task)
        };
        let question = Question::Audio(pcm.clone());
        let mut stages = Stages::default();
        let rounds = self.rounds(&mut omni, &question, &options)?;
        stages.add_rounds(&rounds);
        if task.speaks() {
            let halved = self.rounds(&mut omni, &question, &text_ends_half_way(&options))?;
            stages.add_halved(&halved);
        }
        for position in POSITIONS {
            let passes = omni.time_steps(position, PASSES)?;
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
        results.write(&report, || table(&report, before.as_ref()))?;
        Ok(ExitCode::SUCCESS)
    }

    fn rounds(
        &self,
        omni: &mut Omni,
        question: &Question,
        options: &Options,
    ) -> Result<Vec<Round>> {
        let mut rounds = Vec::new();
        for round in 0..=self.rounds {
            eprint!("\rround {round} of {}", self.rounds);
            let timed = Round::run(omni, question, options)?;
            if round > 0 {
                rounds.push(timed);
            }
        }
        eprintln!();
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
        let rate = omni.manifest.codec.sample_rate;
        let factors = rounds
            .iter()
            .filter_map(|r| r.trace.real_time_factor(rate))
            .collect();
        Report {
            version: env!("CARGO_PKG_VERSION").into(),
            onnxruntime: runtime.version(),
            cpu: cpu(),
            threads: runtime.threads,
            provider: runtime.provider.name().into(),
            model: omni.manifest.name.clone(),
            model_hash: omni.manifest.hash(),
            precision: omni.manifest.precision.clone(),
            task: options.task.name.into(),
            encoder_window: self.encoder_window.name().into(),
            question_seconds: pcm.seconds(),
            load_ms: rounds[0].trace.timings_ms.load,
            stages_ms: Vec::new(),
            real_time_factor: Stats::of(factors),
            underruns: rounds.iter().map(|round| round.underruns).sum(),
            peak_memory_mib: peak_memory_mib(),
            conversations: None,
        }
    }
}

/// One timed answer.
struct Round {
    trace: Trace,
    underruns: usize,
}

impl Round {
    fn run(omni: &mut Omni, question: &Question, options: &Options) -> Result<Round> {
        let mut player = Player::new(&omni.manifest.codec, Duration::ZERO);
        let trace = omni.stream(question, options, &mut |event| {
            if let Event::Audio(chunk) = event {
                player.take(Instant::now(), chunk.len());
            }
            Ok(())
        })?;
        Ok(Round {
            trace,
            underruns: player.gaps,
        })
    }
}

/// Times by what they are times of, ms.
#[derive(Default)]
struct Stages(Vec<(String, Stats)>);

impl Stages {
    fn add(&mut self, name: &str, values: Vec<f64>) {
        self.0
            .extend(Stats::of(values).map(|stats| (name.to_string(), stats)));
    }

    fn add_rounds(&mut self, rounds: &[Round]) {
        let per_frame = |t: &Trace| (t.frames > 0).then(|| t.timings_ms.codec / t.frames as f64);
        let late = |t: &Trace| {
            let steps = &t.timings_ms.steps;
            steps[steps.len().saturating_sub(POSITION_BAND)..].to_vec()
        };
        self.add("mel", all(rounds, |t| vec![t.timings_ms.mel]));
        self.add("encoder", all(rounds, |t| vec![t.timings_ms.encoder]));
        self.add("prefill", all(rounds, |t| vec![t.timings_ms.prefill]));
        self.add("step", all(rounds, |t| t.timings_ms.steps.clone()));
        self.add("last steps", all(rounds, late));
        self.add(
            "codec a frame",
            all(rounds, |t| per_frame(t).into_iter().collect()),
        );
        self.add(
            "first audio",
            all(rounds, |t| t.timings_ms.first_audio.into_iter().collect()),
        );
        self.add("whole answer", all(rounds, |t| vec![t.timings_ms.total]));
    }

    /// Answers whose text ended half-way.
    fn add_halved(&mut self, rounds: &[Round]) {
        self.add(
            "step, half text",
            all(rounds, |t| t.timings_ms.steps.clone()),
        );
        self.add(
            "answer, half text",
            all(rounds, |t| vec![t.timings_ms.total]),
        );
    }
}

fn all(rounds: &[Round], of: impl Fn(&Trace) -> Vec<f64>) -> Vec<f64> {
    rounds.iter().flat_map(|round| of(&round.trace)).collect()
}

/// The same options, for an answer of their most steps with text in its first half alone.
fn text_ends_half_way(options: &Options) -> Options {
    Options {
        forced: options.max_steps.map(|steps| Forced {
            text_steps: steps / 2,
        }),
        ..options.clone()
    }
}

/// Two seconds of quiet hum: time does not depend on what is heard.
fn hum() -> Pcm {
    let sample = |i: usize| 0.1 * (i as f32 * 0.05).sin();
    Pcm::new((0..32_000).map(sample).collect(), 16_000).expect("a hum can be heard")
}

fn cpu() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map_or_else(
        || std::env::consts::ARCH.to_string(),
        |(_, name)| name.to_string(),
    )
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
