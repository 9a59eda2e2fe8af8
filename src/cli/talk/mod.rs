//! `mini-omni talk`: a conversation by microphone and loudspeaker, or by files in their place.

#[cfg(feature = "live")]
mod devices;
mod files;
mod line;
mod player;
mod screen;
mod talking;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use mini_omni::session::{Session, Settings, TurnEnd};
use mini_omni::{Limits, Manifest, Omni, Scheduler};

use super::compute::{Compute, WindowArg, window};
use super::output::{Claims, is_stdout};
use super::signals;
use super::terminal::say;
use files::Recording;
use line::{Input, Line};
use screen::Screen;
use talking::Talking;

/// Answers at once: one that is heard, one that is prepared, one that is just being cancelled.
const ANSWERS: usize = 3;
/// Longest pause that a sentence which does not sound complete is waited for, ms.
const LONGEST_PAUSE: f64 = 2000.0;

#[derive(Args)]
pub struct Talk {
    /// The model folder
    #[arg(value_name = "MODEL", required_unless_present = "list_devices")]
    model_dir: Option<PathBuf>,
    /// A recording in place of the microphone, heard in real time; - is standard input: raw 16-bit
    /// samples, little endian, one channel
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Hz of the samples on standard input
    #[arg(long, value_name = "HZ", default_value_t = 16_000, value_parser = clap::value_parser!(u32).range(8_000..=192_000))]
    rate: u32,
    /// A wav in place of the loudspeaker, as long as the conversation; - is standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Name of the microphone, or a part of it; the system's where not given
    #[arg(long, value_name = "NAME", conflicts_with = "input")]
    microphone: Option<String>,
    /// Name of the loudspeaker, or a part of it; the system's where not given
    #[arg(long, value_name = "NAME", conflicts_with = "output")]
    loudspeaker: Option<String>,
    /// Show the names of microphones and loudspeakers
    #[arg(long)]
    list_devices: bool,
    /// What ends your turn
    #[arg(long, value_enum, default_value_t = TurnEndArg::Pause)]
    turn_end: TurnEndArg,
    /// The pause that ends your turn, milliseconds; with --turn-end meaning: the longest one
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(100..=10_000))]
    pause: Option<u32>,
    /// Speech that begins sooner than this after you fell silent goes on with your turn, even if it was
    /// taken to be over: both are asked as one question. 0: never
    #[arg(long, value_name = "MS", default_value_t = 500, value_parser = clap::value_parser!(u32).range(..=10_000))]
    goes_on: u32,
    /// Turns that the model remembers. Published weights were trained on single turns
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    turns: u32,
    /// Lend the spoken answer the words of a second, text-only row
    #[arg(long)]
    batch: bool,
    /// Begin no answer before your turn is certain to be over: less work, later answers
    #[arg(long)]
    no_speculation: bool,
    /// Speech does not stop an answer: it goes on until your next turn is over
    #[arg(long)]
    no_interruption: bool,
    /// How much the encoder hears; merged by default where the model has a plan for it, else full
    #[arg(long, value_enum)]
    encoder_window: Option<WindowArg>,
    #[command(flatten)]
    compute: Compute,
}

#[derive(Clone, Copy, ValueEnum)]
enum TurnEndArg {
    /// A pause of half a second
    Pause,
    /// A shorter pause where the sentence sounds complete, a longer one where it does not
    Meaning,
}

impl Talk {
    pub fn run(&self) -> Result<ExitCode> {
        if self.list_devices {
            return list_devices();
        }
        let Some(model_dir) = &self.model_dir else {
            bail!("give a model folder");
        };
        let manifest = Manifest::load(model_dir)?;
        window(self.encoder_window, &manifest)?;
        self.claim(&manifest)?;
        let recording = self.recording()?;
        let runtime = self.compute.runtime()?;
        let scheduler = scheduler(Omni::load(model_dir, &runtime)?)?;
        let codec_rate = manifest.codec.sample_rate;
        let (inputs, coming) = channel();
        let stop = inputs.clone();
        signals::told(move || drop(stop.send(Input::Stop)))?;
        let line = self.line(recording, codec_rate, &inputs)?;
        let told = move || drop(inputs.send(Input::Told));
        let session = Session::new(scheduler, &runtime, self.settings(line.input_rate), told)?;
        say("listening; Ctrl-C ends the conversation");
        let screen = Screen::new(self.output.as_deref().is_some_and(is_stdout));
        let talking = Talking::new(session, screen, &line, codec_rate);
        let talked = talking.run(&coming);
        drop(coming); // the clock ends with its listener
        line.finish()?;
        talked.map(|()| ExitCode::SUCCESS)
    }

    fn claim(&self, manifest: &Manifest) -> Result<()> {
        let mut claims = Claims::default();
        if let Some(model_dir) = &self.model_dir {
            claims.reads_model(model_dir, manifest);
        }
        if let Some(input) = &self.input {
            claims.reads("the recording", input);
        }
        if !self.output.as_deref().is_some_and(is_stdout) {
            claims.prints("the text")?;
        }
        match &self.output {
            Some(output) => claims.writes("--output", output),
            None => Ok(()),
        }
    }

    fn settings(&self, input_rate: u32) -> Settings {
        let mut settings = Settings::default();
        settings.input_rate = input_rate;
        settings.turn_end = match (self.turn_end, self.pause.map(f64::from)) {
            (TurnEndArg::Pause, Some(pause)) => TurnEnd::Pause(pause),
            (TurnEndArg::Pause, None) => settings.turn_end,
            (TurnEndArg::Meaning, pause) => TurnEnd::Meaning {
                longest: pause.unwrap_or(LONGEST_PAUSE),
            },
        };
        if self.no_speculation {
            settings.speculate = None;
        }
        settings.goes_on = (self.goes_on > 0).then_some(self.goes_on.into());
        settings.interrupt = !self.no_interruption;
        settings.turns = self.turns as usize;
        settings.reply.batch = self.batch;
        settings.reply.options.window = self.encoder_window.map(Into::into);
        settings
    }

    /// The recording that is heard in place of a microphone, if one was named.
    fn recording(&self) -> Result<Option<Recording>> {
        let opened = self.input.as_ref();
        opened
            .map(|path| Recording::open(path, self.rate))
            .transpose()
    }

    fn line(
        &self,
        recording: Option<Recording>,
        codec_rate: u32,
        inputs: &Sender<Input>,
    ) -> Result<Line> {
        match recording {
            Some(recording) => {
                Line::files(recording, self.output.as_ref(), codec_rate, inputs.clone())
            }
            None => self.devices(codec_rate, inputs),
        }
    }

    #[cfg(feature = "live")]
    fn devices(&self, codec_rate: u32, inputs: &Sender<Input>) -> Result<Line> {
        if self.output.is_some() {
            bail!("--output goes with --input; a microphone goes with a loudspeaker");
        }
        let (microphone, loudspeaker) = (self.microphone.as_deref(), self.loudspeaker.as_deref());
        Line::devices(microphone, loudspeaker, codec_rate, inputs.clone())
    }

    #[cfg(not(feature = "live"))]
    fn devices(&self, _: u32, _: &Sender<Input>) -> Result<Line> {
        bail!("{WITHOUT_DEVICES}; or give --input FILE and --output FILE")
    }
}

/// Has the session answered by `omni`.
fn scheduler(omni: Omni) -> Result<Arc<Scheduler>> {
    let mut limits = Limits::default();
    limits.answers = ANSWERS;
    Ok(Arc::new(Scheduler::new(omni, limits)?))
}

#[cfg(feature = "live")]
fn list_devices() -> Result<ExitCode> {
    super::terminal::print(&devices::list()?)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(not(feature = "live"))]
fn list_devices() -> Result<ExitCode> {
    bail!("{WITHOUT_DEVICES}")
}

#[cfg(not(feature = "live"))]
const WITHOUT_DEVICES: &str =
    "this build knows no microphones: build it with `cargo build --release --features live`";
