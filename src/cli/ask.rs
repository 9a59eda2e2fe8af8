//! `mini-omni ask`: one question, answered while you watch and listen.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, ValueEnum, builder::PossibleValuesParser, builder::TypedValueParser};
use mini_omni::audio::{AudioError, Lasts, Limit, Recording, WavSink, seconds_apart};
use mini_omni::manifest::{MelDims, Weights};
use mini_omni::omni::EncoderWindow;
use mini_omni::output::{Output, is_stdio};
use mini_omni::task::{Source, TASKS, Task};
use mini_omni::{Event, Manifest, Noise, Omni, Options, Pcm, Question, SamplingConfig, Trace};

use super::Compute;

#[derive(Args)]
pub struct Ask {
    /// The model folder
    model_dir: PathBuf,
    /// The spoken question: wav, mp3, m4a, flac, ogg, webm, aiff or caf; - is standard input
    #[arg(conflicts_with = "text", required_unless_present = "text")]
    input: Option<PathBuf>,
    /// A written question
    #[arg(long)]
    text: Option<String>,
    /// What to do; a1a2-batch for a spoken question, t1a2 for a written one where not given
    #[arg(long, value_parser = task_parser())]
    task: Option<&'static Task>,
    /// Write the spoken answer here as wav; - is standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write ids, text and timings here as JSON; - is standard output
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Most steps of the answer; 12 steps are a second of speech
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_steps: Option<u32>,
    /// Hear only this much of the question; needed for clips longer than the model hears
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    max_seconds: Option<f64>,
    /// 0 always takes the likeliest id
    #[arg(
        long,
        default_value_t = 0.0,
        value_name = "F",
        allow_negative_numbers = true
    )]
    temperature: f32,
    /// Sample among the N likeliest ids; 0 means all
    #[arg(long, default_value_t = 0, value_name = "N")]
    top_k: usize,
    /// Sample among the likeliest ids that make up this share of the probability
    #[arg(
        long,
        default_value_t = 1.0,
        value_name = "F",
        allow_negative_numbers = true
    )]
    top_p: f32,
    /// Seed of sampling and of the codec's noise
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    /// The codec's noise: seeded as the model has it, or zero
    #[arg(long, value_enum, default_value_t = NoiseArg::Seeded)]
    noise: NoiseArg,
    /// What the encoder hears: its full window as published, or only the clip, which is several
    /// times faster and changes the features a little
    #[arg(long, value_enum, default_value_t = WindowArg::Full)]
    encoder_window: WindowArg,
    #[command(flatten)]
    compute: Compute,
}

/// How much the encoder hears.
#[derive(Clone, Copy, ValueEnum)]
pub enum WindowArg {
    Full,
    Short,
}

impl WindowArg {
    pub fn name(self) -> &'static str {
        match self {
            WindowArg::Full => "full",
            WindowArg::Short => "short",
        }
    }
}

impl From<WindowArg> for EncoderWindow {
    fn from(arg: WindowArg) -> EncoderWindow {
        match arg {
            WindowArg::Full => EncoderWindow::Full,
            WindowArg::Short => EncoderWindow::Short,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum NoiseArg {
    Seeded,
    Zero,
}

pub fn task_parser() -> impl TypedValueParser<Value = &'static Task> {
    PossibleValuesParser::new(TASKS.map(|task| task.name))
        .map(|name| Task::by_name(&name).expect("only names of tasks are possible"))
}

impl Ask {
    pub fn run(&self) -> Result<ExitCode> {
        let options = self.options()?;
        let manifest = Manifest::load(&self.model_dir)?;
        let question = self.question(&manifest.mel)?;
        let mut outputs = Outputs::open(self, &options, &manifest)?;
        let runtime = self.compute.runtime()?;
        let mut omni = Omni::load(&self.model_dir, &runtime)?;
        if manifest.weights == Weights::Random && options.task.speaks() {
            eprintln!("note: this model's weights are random: its words and its speech are noise");
        }
        let trace = omni.stream(&question, &options, &mut |event| outputs.take(event))?;
        outputs.finish(&trace, manifest.codec.sample_rate)?;
        Ok(ExitCode::SUCCESS)
    }

    fn options(&self) -> Result<Options> {
        let source = if self.text.is_some() {
            Source::Text
        } else {
            Source::Audio
        };
        let task = self.task.unwrap_or_else(|| Task::default_for(source));
        let sampling = SamplingConfig {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            seed: self.seed,
        };
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            bail!(
                "--temperature {} makes no sense; give 0 or more",
                self.temperature
            );
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            bail!(
                "--top-p {} makes no sense; give more than 0 and at most 1",
                self.top_p
            );
        }
        if self.out.is_some() && !task.speaks() {
            bail!(
                "task {} does not speak, so there is no sound for --out; leave --out away",
                task.name
            );
        }
        let both_to_stdout = [&self.out, &self.trace]
            .iter()
            .all(|p| p.as_deref().is_some_and(is_stdio));
        if both_to_stdout {
            bail!("--out - and --trace - both want standard output; give one of them a file");
        }
        let noise = match self.noise {
            NoiseArg::Seeded => Noise::Seeded(self.seed),
            NoiseArg::Zero => Noise::Zero,
        };
        Ok(Options {
            task,
            max_steps: self.max_steps.map(|n| n as usize),
            sampling,
            noise,
            window: self.encoder_window.into(),
            forced: None,
        })
    }

    fn question(&self, mel: &MelDims) -> Result<Question> {
        match (&self.text, &self.input) {
            (Some(text), _) => Ok(Question::Text(text.clone())),
            (None, Some(path)) => self.spoken(path, mel).map(Question::Audio),
            (None, None) => bail!("nothing was asked: give an audio file, or --text"),
        }
    }

    /// The model hears a fixed length; more is cut only when the person insists.
    fn spoken(&self, path: &Path, mel: &MelDims) -> Result<Pcm> {
        let hears = mel.max_seconds as f64;
        let limit = match self.max_seconds {
            Some(limit) if limit.is_nan() || limit <= 0.0 => {
                bail!("--max-seconds {limit} leaves nothing to hear")
            }
            Some(limit) => Limit::First(limit.min(hears)),
            None => Limit::AtMost(hears),
        };
        let recording = read(path, limit).map_err(|error| match error {
            AudioError::TooLong { .. } => {
                anyhow!("{error}, or give --max-seconds {hears} to ask with its beginning")
            }
            error => error.into(),
        })?;
        if let Limit::First(limit) = limit {
            match recording.lasts {
                Lasts::Exactly(seconds) if seconds > limit => eprintln!(
                    "note: hearing the first {limit} s of {} s",
                    seconds_apart(seconds, limit)
                ),
                Lasts::Exactly(_) => {}
                Lasts::MoreThan(_) => eprintln!("note: hearing the first {limit} s"),
            }
        }
        Ok(recording.pcm)
    }
}

fn read(path: &Path, limit: Limit) -> Result<Recording, AudioError> {
    if is_stdio(path) {
        return limit.read_from(std::io::stdin(), "standard input");
    }
    limit.read(path)
}

/// Where the answer goes.
struct Outputs {
    wav: Option<WavSink>,
    trace: Option<(PathBuf, Output)>,
    /// Text goes to standard error where sound or trace take standard output.
    text_to_stderr: bool,
}

impl Outputs {
    fn open(ask: &Ask, options: &Options, manifest: &Manifest) -> Result<Outputs> {
        debug_assert!(ask.out.is_none() || options.task.speaks());
        Ok(Outputs {
            wav: ask
                .out
                .as_deref()
                .map(|p| WavSink::create(p, manifest.codec.sample_rate))
                .transpose()?,
            trace: ask.trace.as_deref().map(open).transpose()?,
            text_to_stderr: [&ask.out, &ask.trace]
                .iter()
                .any(|p| p.as_deref().is_some_and(is_stdio)),
        })
    }

    fn take(&mut self, event: Event) -> mini_omni::Result<()> {
        match event {
            Event::Audio(pcm) => match &mut self.wav {
                Some(wav) => Ok(wav.write(&pcm)?),
                None => Ok(()),
            },
            Event::Text(piece) => self
                .print(&piece)
                .map_err(|e| mini_omni::Error::Sink(e.to_string())),
        }
    }

    fn print(&self, piece: &str) -> std::io::Result<()> {
        if self.text_to_stderr {
            eprint!("{piece}");
            return Ok(());
        }
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(piece.as_bytes())?;
        stdout.flush()
    }

    fn finish(self, trace: &Trace, sample_rate: u32) -> Result<()> {
        self.print("\n")?;
        if let Some(wav) = self.wav {
            wav.finish()?;
        }
        if let Some((path, output)) = self.trace {
            let json = serde_json::to_string(trace)? + "\n";
            output
                .complete(&json)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        eprintln!("{}", summary(trace, sample_rate));
        Ok(())
    }
}

fn open(path: &Path) -> Result<(PathBuf, Output)> {
    let output = Output::open(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok((path.to_path_buf(), output))
}

/// The last line: how soon, how fast, how long.
fn summary(trace: &Trace, sample_rate: u32) -> String {
    let total = trace.timings_ms.total / 1000.0;
    match (
        trace.timings_ms.first_audio,
        trace.real_time_factor(sample_rate),
    ) {
        (Some(first), Some(factor)) => format!(
            "first audio after {:.2} s, real-time factor {factor:.2} ({:.1} s of speech in {total:.1} s, ended by {})",
            first / 1000.0,
            trace.pcm_samples as f64 / f64::from(sample_rate),
            trace.ended.name()
        ),
        _ => format!(
            "no audio, {} ids of text in {total:.2} s, ended by {}",
            trace.tokens[trace.tokens.len() - 1].len(),
            trace.ended.name()
        ),
    }
}
