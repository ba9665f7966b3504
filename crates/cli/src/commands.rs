//! The commands, one file each.

mod completion;
mod container;
mod manual;
mod version;

use std::process::ExitCode;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Failure;

/// Every command, in the order in which help shows them.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Container(container::ContainerCommand),
    Version(version::Version),
    Completion(completion::Completion),
    #[command(hide = true)]
    Man(manual::Manual),
}

/// Runs `command`. The exit code is the container's for those that wait for
/// one, else success.
pub(crate) fn dispatch(command: &Command, context: &Context) -> Result<ExitCode, Failure> {
    match command {
        Command::Container(command) => return container::dispatch(command, context),
        Command::Version(version) => version.run()?,
        Command::Completion(completion) => completion.run()?,
        Command::Man(manual) => manual.run()?,
    }
    Ok(ExitCode::SUCCESS)
}
