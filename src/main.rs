//! The `mini-omni` command. Each subcommand is a file in `cli/`.

mod cli;
#[cfg(feature = "serve")]
mod serve;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::Cli::try_parse() {
        Ok(cli) => run(cli),
        // Help and version come this way, too. Nobody can be told if they cannot be printed.
        Err(refusal) => {
            let _ = refusal.print();
            ExitCode::from(u8::try_from(refusal.exit_code()).unwrap_or(cli::EXIT_BAD_INPUT))
        }
    }
}

fn run(cli: cli::Cli) -> ExitCode {
    cli::run(cli).unwrap_or_else(|error| {
        cli::say(format_args!("error: {}", sentence(&error)));
        if let Some(hint) = cli::hint(&error) {
            cli::say(format_args!("hint: {hint}"));
        }
        ExitCode::from(cli::EXIT_BAD_INPUT)
    })
}

/// What went wrong and why, each reason once: a message may already end with its cause.
fn sentence(error: &anyhow::Error) -> String {
    let mut said = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if said.is_empty() {
            said = cause;
        } else if !said.ends_with(&cause) {
            said = format!("{said}: {cause}");
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_given_once() {
        let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
        let reason = missing.to_string();
        let error = anyhow::Error::new(missing).context(format!("cannot read a.wav: {reason}"));
        assert_eq!(sentence(&error), format!("cannot read a.wav: {reason}"));
        let error = error.context("nothing was asked");
        assert_eq!(
            sentence(&error),
            format!("nothing was asked: cannot read a.wav: {reason}")
        );
    }
}
