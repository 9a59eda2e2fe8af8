//! `mini-omni bench`: where the milliseconds go, on this machine, as a table and as JSON.
//!
//! Every round is a whole answer through the same path as `ask`; a player is simulated that starts
//! with the first sound, so a late chunk is counted as the gap a listener would hear.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;
use mini_omni::manifest::Precision;
use mini_omni::output::Output;
use mini_omni::stats::Stats;
use mini_omni::task::{A1A2_BATCH, Source, Task};
use mini_omni::{Event, Noise, Omni, Options, Pcm, Question, Runtime, Trace, audio};
use serde::{Deserialize, Serialize};

use super::Compute;
use super::ask::{WindowArg, task_parser};

/// Where in the answer a step is counted as early or late, positions.
const POSITION_BAND: usize = 50;

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
    /// Write the results here as JSON; - is standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Print the change against an earlier --json
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    #[command(flatten)]
    compute: Compute,
}

/// Everything a benchmark says; milliseconds unless named otherwise.
#[derive(Serialize, Deserialize)]
struct Report {
    version: String,
    onnxruntime: String,
    cpu: String,
    threads: usize,
    provider: String,
    model: String,
    model_hash: String,
    precision: Precision,
    task: String,
    encoder_window: String,
    question_seconds: f64,
    load_ms: f64,
    stages_ms: Vec<(String, Stats)>,
    real_time_factor: Option<Stats>,
    /// Gaps a listener would hear, over all rounds.
    underruns: usize,
    peak_memory_mib: Option<f64>,
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
        let before = self.compare.as_deref().map(read_report).transpose()?;
        let output = self
            .json
            .as_deref()
            .map(Output::open)
            .transpose()
            .context("cannot write the results")?;
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
        let rounds = self.rounds(&mut omni, &Question::Audio(pcm.clone()), &options)?;
        let report = self.report(&omni, &runtime, &options, &pcm, &rounds);
        if let Some(output) = output {
            let json = serde_json::to_string_pretty(&report)? + "\n";
            output.complete(&json).context("cannot write the results")?;
        }
        if self
            .json
            .as_deref()
            .is_none_or(|path| path.as_os_str() != "-")
        {
            std::io::stdout().write_all(table(&report, before.as_ref()).as_bytes())?;
        }
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
            question_seconds: pcm.samples.len() as f64 / f64::from(pcm.sample_rate),
            load_ms: rounds[0].trace.timings_ms.load,
            stages_ms: stages(rounds),
            real_time_factor: Stats::of(factors),
            underruns: rounds.iter().map(|round| round.underruns).sum(),
            peak_memory_mib: peak_memory_mib(),
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
        let rate = f64::from(omni.manifest.codec.sample_rate);
        let mut player: Option<Instant> = None;
        let (mut heard, mut underruns) = (0.0, 0);
        let trace = omni.stream(question, options, &mut |event| {
            if let Event::Audio(chunk) = event {
                let started = *player.get_or_insert_with(Instant::now);
                let late = started.elapsed().as_secs_f64() - heard;
                if heard > 0.0 && late > 0.0 {
                    underruns += 1;
                    // The listener waited; what follows is heard that much later.
                    heard += late;
                }
                heard += chunk.len() as f64 / rate;
            }
            Ok(())
        })?;
        Ok(Round { trace, underruns })
    }
}

fn stages(rounds: &[Round]) -> Vec<(String, Stats)> {
    let of = |pick: &dyn Fn(&Trace) -> Vec<f64>| {
        Stats::of(rounds.iter().flat_map(|r| pick(&r.trace)).collect())
    };
    let per_frame = |t: &Trace| {
        if t.frames > 0 {
            vec![t.timings_ms.codec / t.frames as f64]
        } else {
            vec![]
        }
    };
    let late = |t: &Trace| {
        t.timings_ms
            .steps
            .iter()
            .rev()
            .take(POSITION_BAND)
            .copied()
            .collect()
    };
    [
        ("mel", of(&|t| vec![t.timings_ms.mel])),
        ("encoder", of(&|t| vec![t.timings_ms.encoder])),
        ("prefill", of(&|t| vec![t.timings_ms.prefill])),
        ("step", of(&|t| t.timings_ms.steps.clone())),
        ("last steps", of(&late)),
        ("codec a frame", of(&per_frame)),
        (
            "first audio",
            of(&|t| t.timings_ms.first_audio.into_iter().collect()),
        ),
        ("whole answer", of(&|t| vec![t.timings_ms.total])),
    ]
    .into_iter()
    .filter_map(|(name, stats)| Some((name.to_string(), stats?)))
    .collect()
}

fn table(report: &Report, before: Option<&Report>) -> String {
    let precision = &report.precision;
    let mut text = format!(
        "{} ({}), encoder {}, decoder {}, codec {}\n{}, {} threads, {}, ONNX Runtime {}\n{:.1} s question, {}, {} encoder window\n\n",
        report.model,
        &report.model_hash[..12],
        precision.encoder,
        precision.decoder,
        precision.codec,
        report.cpu,
        report.threads,
        report.provider,
        report.onnxruntime,
        report.question_seconds,
        report.task,
        report.encoder_window,
    );
    text += &format!(
        "{:<14} {:>9} {:>9} {:>9} {:>9} {:>6}\n",
        "ms", "mean", "p50", "p95", "p99", "n"
    );
    for (name, s) in &report.stages_ms {
        let change = before.map_or(String::new(), |b| change(name, s, b));
        text += &format!(
            "{name:<14} {:>9.2} {:>9.2} {:>9.2} {:>9.2} {:>6}{change}\n",
            s.mean, s.p50, s.p95, s.p99, s.n
        );
    }
    text += &format!("{:<14} {:>9.0}\n\n", "load", report.load_ms);
    if let Some(factor) = &report.real_time_factor {
        text += &format!(
            "real-time factor {:.3} (below 1 is faster than speech)\n",
            factor.p50
        );
    }
    text += &format!("underruns {}\n", report.underruns);
    if let Some(peak) = report.peak_memory_mib {
        text += &format!("peak memory {peak:.0} MiB\n");
    }
    text
}

/// The change of a stage's median, and whether it exceeds the spread of either run.
fn change(name: &str, now: &Stats, before: &Report) -> String {
    let Some((_, then)) = before.stages_ms.iter().find(|(other, _)| other == name) else {
        return "  new".into();
    };
    let percent = (now.p50 / then.p50 - 1.0) * 100.0;
    let spread = ((now.p95 - now.p50) / now.p50).max((then.p95 - then.p50) / then.p50) * 100.0;
    let verdict = if percent.abs() > spread {
        ""
    } else {
        ", within the noise"
    };
    format!("  {percent:+.1} % (spread {spread:.1} %{verdict})")
}

fn read_report(path: &Path) -> Result<Report> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text)
        .with_context(|| format!("{} is no result of bench --json", path.display()))
}

/// Two seconds of quiet hum: time does not depend on what is heard.
fn hum() -> Pcm {
    let sample = |i: usize| 0.1 * (i as f32 * 0.05).sin();
    Pcm {
        samples: (0..32_000).map(sample).collect(),
        sample_rate: 16_000,
    }
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
