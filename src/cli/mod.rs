//! The command line: arguments in, files and terminal out.
//!
//! Text of an answer goes to standard output, everything about it to standard error, so that a
//! script can take either. Exit code 2: something given was wrong, and the sentence says what.

mod ask;
mod bench;
mod compare;
mod inspect;
mod output;
mod results;
mod stats;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand, ValueEnum};
use mini_omni::{Provider, Runtime};

/// Exit code for bad input of any kind.
pub const EXIT_BAD_INPUT: u8 = 2;

/// A spoken or written question in, text and speech out.
#[derive(Parser)]
#[command(version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Answer one question, spoken or written
    Ask(ask::Ask),
    /// Time every stage of an answer on this machine
    Bench(bench::Bench),
    /// Hold a model against a reference: features, logits, ids, sound
    Compare(compare::Compare),
    /// Show what a model folder holds, and check it
    Inspect(inspect::Inspect),
}

/// Where and how to compute.
#[derive(Args)]
struct Compute {
    /// Threads of one operator; 0 means all cores
    #[arg(long, default_value_t = 0, value_name = "N")]
    threads: usize,
    /// What computes; auto takes the best there is and says which
    #[arg(long, value_enum, default_value_t = ProviderArg::Cpu)]
    provider: ProviderArg,
}

#[derive(Clone, Copy, ValueEnum)]
enum ProviderArg {
    Auto,
    Cpu,
    Cuda,
    Coreml,
}

impl Compute {
    fn runtime(&self) -> Result<Runtime> {
        let asked = match self.provider {
            ProviderArg::Auto => Provider::Auto,
            ProviderArg::Cpu => Provider::Cpu,
            ProviderArg::Cuda => Provider::Cuda,
            ProviderArg::Coreml => Provider::CoreMl,
        };
        let runtime = Runtime::load(asked, self.threads)?;
        if asked == Provider::Auto {
            eprintln!("provider: {}", runtime.provider().name());
        }
        Ok(runtime)
    }
}

/// Runs the subcommand.
pub fn run(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        Command::Ask(ask) => ask.run(),
        Command::Bench(bench) => bench.run(),
        Command::Compare(compare) => compare.run(),
        Command::Inspect(inspect) => inspect.run(),
    }
}

/// Whether the reader of our output simply went away, as `| head` does.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}
