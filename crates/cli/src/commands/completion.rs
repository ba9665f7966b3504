//! `caisson completion`: what a shell needs to complete our command line.

use clap::{CommandFactory as _, ValueEnum};
use clap_complete::{Shell as Target, generate};

use crate::args::Cli;
use crate::failure::Failure;
use crate::output;

/// Print the completion script of a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "For example:\n  caisson completion bash > \
                        /usr/share/bash-completion/completions/caisson")]
pub(crate) struct Completion {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// The shells that have one.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Completion {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let target = match self.shell {
            Shell::Bash => Target::Bash,
            Shell::Zsh => Target::Zsh,
            Shell::Fish => Target::Fish,
        };
        let mut script = Vec::new();
        generate(target, &mut Cli::command(), "caisson", &mut script);
        output::bytes(&script)
    }
}
