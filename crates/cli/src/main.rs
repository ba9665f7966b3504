//! `caisson`: images and containers from the command line, with no daemon.

mod advice;
mod args;
mod auth_file;
mod commands;
mod context;
mod failure;
mod host;
mod log;
mod output;
mod progress;
mod question;
mod registry_args;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = match args::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match commands::dispatch(&cli.command, &cli.global) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

/// Help and version go to standard output; a malformed line is docker's 125.
fn usage(error: &clap::Error) -> ExitCode {
    // Where the text can't be written there is nobody to tell.
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(failure::code::USAGE) } else { ExitCode::SUCCESS }
}
