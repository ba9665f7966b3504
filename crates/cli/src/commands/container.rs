//! Commands on containers: one file each in `container/`.
//!
//! A new one: its file `container/<name>.rs` with a `clap::Args` struct and a
//! `run(&self, &Context) -> Result<ExitCode, Failure>`, a variant below, and
//! an arm in [`dispatch`].

mod cleanup;
mod create;
mod kill;
mod options;
mod pause;
mod ps;
mod pulling;
mod remove;
mod rename;
mod restart;
mod run;
mod session;
mod start;
mod stop;
mod streams;
mod terminal;
mod wait;

use std::process::ExitCode;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Failure;

/// Every command on containers.
#[derive(Debug, Subcommand)]
pub(crate) enum ContainerCommand {
    Run(Box<run::Run>),
    Create(Box<create::Create>),
    Start(start::Start),
    Stop(stop::Stop),
    Restart(restart::Restart),
    Kill(kill::Kill),
    Rm(remove::Remove),
    Ps(ps::Ps),
    Wait(wait::Wait),
    Pause(pause::Pause),
    Unpause(pause::Unpause),
    Rename(rename::Rename),
    #[command(hide = true, name = "container-cleanup")]
    Cleanup(cleanup::Cleanup),
}

/// Runs `command`.
pub(crate) fn dispatch(command: &ContainerCommand, context: &Context) -> Result<ExitCode, Failure> {
    match command {
        ContainerCommand::Run(command) => command.run(context),
        ContainerCommand::Create(command) => command.run(context),
        ContainerCommand::Start(command) => command.run(context),
        ContainerCommand::Stop(command) => command.run(context),
        ContainerCommand::Restart(command) => command.run(context),
        ContainerCommand::Kill(command) => command.run(context),
        ContainerCommand::Rm(command) => command.run(context),
        ContainerCommand::Ps(command) => command.run(context),
        ContainerCommand::Wait(command) => command.run(context),
        ContainerCommand::Pause(command) => command.run(context),
        ContainerCommand::Unpause(command) => command.run(context),
        ContainerCommand::Rename(command) => command.run(context),
        ContainerCommand::Cleanup(command) => command.run(context),
    }
}
