//! `mini-omni ask`: one question, answered while you watch and listen.
//!
//! What can be wrong with the options, the task and the text is found before the model is loaded.

mod answer;
mod effects;
mod options;
mod question;

pub use options::task_parser;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{ArgGroup, Args};
use mini_omni::model::Weights;
use mini_omni::{Ended, Manifest, Omni, Options, Task};

use super::EXIT_NO_SPEECH;
use super::compute::{Compute, WindowArg, window};
use super::output::Claims;
use super::terminal::say;
use answer::Outputs;
use options::NoiseArg;

/// What is asked is not optional, which a usage line made from the options would not say.
pub const USAGE: &str = "mini-omni ask [OPTIONS] MODEL (FILE | --text TEXT)";

#[derive(Args)]
#[command(group = ArgGroup::new("question").required(true))]
pub struct Ask {
    /// The model folder
    #[arg(value_name = "MODEL")]
    model_dir: PathBuf,
    /// The spoken question: wav, mp3, m4a, flac, ogg, webm, aiff or caf; - is standard input
    #[arg(value_name = "FILE", group = "question")]
    input: Option<PathBuf>,
    /// The written question; - reads it from standard input
    #[arg(long, group = "question", allow_hyphen_values = true)]
    text: Option<String>,
    /// Read the written question from this file, in UTF-8; - is standard input
    #[arg(long, value_name = "FILE", group = "question")]
    text_file: Option<PathBuf>,
    /// Let special tokens in a written question act; else they are words like others
    #[arg(long)]
    special_tokens: bool,
    /// What to do; a1a2-batch for a spoken question, t1a2 for a written one where not given
    #[arg(long, value_parser = task_parser())]
    task: Option<Task>,
    /// Write the spoken answer here as wav; - is standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write ids, text and timings here as JSON; - is standard output
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Most steps of the answer; 12 steps are a second of speech
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..))]
    max_steps: Option<u32>,
    /// Hear only this much of the question; needed for clips longer than the model hears
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    max_seconds: Option<f64>,
    /// Draw ids at this temperature; 0, the default, always takes the likeliest id
    #[arg(long, value_name = "F", allow_negative_numbers = true)]
    temperature: Option<f32>,
    /// Draw among the N likeliest ids; 0, the default, means all
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    top_k: Option<usize>,
    /// Draw among the likeliest ids that make up this share of the probability; 1 by default
    #[arg(long, value_name = "F", allow_negative_numbers = true)]
    top_p: Option<f32>,
    /// Seed of the draws and of the codec's noise; 0 by default
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    seed: Option<u64>,
    /// The codec's noise; seeded by default
    #[arg(long, value_enum)]
    noise: Option<NoiseArg>,
    /// How much the encoder hears; merged by default where the model has a plan for it, else full
    #[arg(long, value_enum)]
    encoder_window: Option<WindowArg>,
    /// Cut what is no speech at both ends of the question; where not given, as the model has it
    #[arg(long, conflicts_with = "no_trim")]
    trim: bool,
    /// Leave the question as it is
    #[arg(long)]
    no_trim: bool,
    /// Answer though there is no speech in the question: for benchmarks
    #[arg(long)]
    answer_anything: bool,
    #[command(flatten)]
    compute: Compute,
}

impl Ask {
    pub fn run(&self) -> Result<ExitCode> {
        let options = self.options()?;
        for note in self.without_effect(&options) {
            say(format_args!("note: {note}"));
        }
        let written = self.written()?;
        let manifest = Manifest::load(&self.model_dir)?;
        window(self.encoder_window, &manifest)?;
        self.claim(&manifest)?;
        let question = self.question(written, &options, &manifest)?;
        let mut outputs = Outputs::open(self, &manifest)?;
        let mut omni = self.load(&options)?;
        let trace = omni.stream(&question, &options, |event| outputs.take(event));
        let heard = outputs.finish(trace, manifest.codec.sample_rate)?;
        Ok(heard.map_or(ExitCode::SUCCESS, |trace| self.verdict(trace.ended)))
    }

    fn load(&self, options: &Options) -> Result<Omni> {
        let omni = Omni::load(&self.model_dir, &self.compute.runtime()?)?;
        if omni.manifest().weights == Weights::Random && options.task.speaks() {
            say("note: this model's weights are random: its words and its speech are noise");
        }
        Ok(omni)
    }

    /// Refuses to write what is read, or one file twice.
    fn claim(&self, manifest: &Manifest) -> Result<()> {
        let mut claims = Claims::default();
        claims.reads_model(&self.model_dir, manifest);
        for question in [&self.input, &self.text_file].into_iter().flatten() {
            claims.reads("the question", question);
        }
        if !self.takes_stdout() {
            claims.prints("the text")?;
        }
        for (option, path) in [("--out", &self.out), ("--trace", &self.trace)] {
            path.iter()
                .try_for_each(|path| claims.writes(option, path))?;
        }
        Ok(())
    }

    fn verdict(&self, ended: Ended) -> ExitCode {
        if ended != Ended::NoSpeech {
            return ExitCode::SUCCESS;
        }
        say(format_args!(
            "nothing was heard: {} holds no speech",
            self.asked()
        ));
        ExitCode::from(EXIT_NO_SPEECH)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        ask: Ask,
    }

    #[test]
    fn a_question_without_speech_has_an_exit_code_of_its_own() {
        let ask = Line::parse_from(["ask", "model", "hum.wav"]).ask;
        let code = |ended| format!("{:?}", ask.verdict(ended));
        let expected = format!("{:?}", ExitCode::from(EXIT_NO_SPEECH));
        assert_eq!(code(Ended::NoSpeech), expected);
        assert_ne!(code(Ended::Eoa), expected);
        assert_eq!(ask.asked(), "hum.wav");
    }
}
