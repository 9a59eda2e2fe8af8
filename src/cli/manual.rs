//! `mini-omni completions` and `mini-omni man`: the command line, described for shells and for `man`.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::Cli;
use super::terminal::print;

const NAME: &str = "mini-omni";

#[derive(Args)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

#[derive(Args)]
pub struct Manual {}

impl Completions {
    pub fn run(&self) -> Result<ExitCode> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), NAME, &mut script);
        print(&String::from_utf8(script)?)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Manual {
    pub fn run(&self) -> Result<ExitCode> {
        print(&page()?)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// One page: the program, then each command with its options.
fn page() -> Result<String> {
    let mut program = Cli::command();
    program.build();
    let commands: Vec<_> = program.get_subcommands().cloned().collect();
    let mut page = front(program)?;
    for command in commands {
        let name = command.get_name();
        // The commands have no pages of their own.
        page = page.replace(
            &format!("mini\\-omni\\-{name}(1)"),
            &format!("{NAME} {name}"),
        );
        if name != "help" {
            page += &section(command)?;
        }
    }
    Ok(page)
}

/// What stands before the commands. The exit codes are lines as they are.
fn front(program: Command) -> Result<String> {
    let mut page = Vec::new();
    Man::new(program).render(&mut page)?;
    let page = String::from_utf8(page)?;
    Ok(page
        .replace(".SH EXTRA\nExit codes:\n", ".SH EXIT CODES\n.nf\n")
        .replace(".SH VERSION", ".fi\n.SH VERSION"))
}

/// A command as a section of the page, its own sections one level lower.
fn section(command: Command) -> Result<String> {
    let title = format!(".SH {NAME} {}\n", command.get_name()).to_uppercase();
    let man = Man::new(command);
    let mut parts = Vec::new();
    man.render_description_section(&mut parts)?;
    man.render_synopsis_section(&mut parts)?;
    man.render_options_section(&mut parts)?;
    Ok(title + &String::from_utf8(parts)?.replace("\n.SH ", "\n.SS "))
}
