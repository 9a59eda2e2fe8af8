//! The command line: arguments in, files and terminal out.
//!
//! Text of an answer goes to standard output, everything about it to standard error, so that a
//! script can take either. Exit code 2: something given was wrong, and the sentence says what.

mod ask;
mod bench;
mod compare;
mod compute;
mod eval;
mod hints;
mod inspect;
mod machine;
mod manual;
pub mod output;
mod record;
mod results;
#[cfg(feature = "serve")]
mod serve;
mod signals;
mod stats;
mod talk;
mod terminal;

pub use hints::hint;
pub use terminal::say;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Exit code where a gate falls: two models agree less than asked for, or a set is answered worse.
pub const EXIT_DISAGREES: u8 = 1;
/// Exit code for bad input of any kind.
pub const EXIT_BAD_INPUT: u8 = 2;
/// Exit code where the question holds no speech.
pub const EXIT_NO_SPEECH: u8 = 3;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  compare: a gate fell, or fewer ids agree than --min-agreement asks for
     eval: more words are wrong than --max-wer allows, or fewer answers right than --min-right asks for
  2  something given was wrong or could not be used; a sentence says what
  3  ask: the question holds no speech";

/// Answer a spoken or written question in text and speech
#[derive(Parser)]
#[command(version, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Answer one question, spoken or written
    #[command(override_usage = ask::USAGE, after_help = EXIT_CODES)]
    Ask(Box<ask::Ask>),
    /// Time every stage of an answer on this machine
    #[command(after_help = EXIT_CODES)]
    Bench(bench::Bench),
    /// Hold a model against a reference, stage by stage: features, logits, ids, sound
    #[command(after_help = EXIT_CODES)]
    Compare(Box<compare::Compare>),
    /// Measure answers by a labelled set: word error rates, right answers
    #[command(after_help = EXIT_CODES)]
    Eval(eval::Eval),
    /// Record a model's answers, to hold later ones against with compare
    #[command(after_help = EXIT_CODES)]
    Record(record::Record),
    /// Talk with the model, by microphone and loudspeaker or by files in their place
    #[command(after_help = EXIT_CODES)]
    Talk(Box<talk::Talk>),
    /// Show what a model folder holds, and check it
    #[command(after_help = EXIT_CODES)]
    Inspect(inspect::Inspect),
    /// Serve the model to programs and browsers
    #[cfg(feature = "serve")]
    #[command(after_help = EXIT_CODES)]
    Serve(serve::Serve),
    /// Print completions of the command line for a shell
    Completions(manual::Completions),
    /// Print the manual page
    Man(manual::Manual),
}

/// Runs the subcommand.
pub fn run(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        Command::Ask(ask) => ask.run(),
        Command::Bench(bench) => bench.run(),
        Command::Compare(compare) => compare.run(),
        Command::Eval(eval) => eval.run(),
        Command::Record(record) => record.run(),
        Command::Talk(talk) => talk.run(),
        Command::Inspect(inspect) => inspect.run(),
        #[cfg(feature = "serve")]
        Command::Serve(serve) => serve.run(),
        Command::Completions(completions) => completions.run(),
        Command::Man(manual) => manual.run(),
    }
}
