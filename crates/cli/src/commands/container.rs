//! Commands on containers: one file each in `container/`.
//!
//! A new one: its file `container/<name>.rs` with a `clap::Args` struct and a
//! `run(&self, &Context) -> Result<ExitCode, Failure>`, a variant below, and
//! an arm in [`dispatch`].

mod attach;
mod cleanup;
mod cp;
mod cp_stream;
mod create;
mod events;
mod exec;
mod kill;
mod logs;
mod options;
mod pause;
mod port;
mod program_args;
mod ps;
mod pulling;
mod pump;
mod remove;
mod rename;
mod restart;
mod run;
mod session;
mod start;
mod stats;
mod stop;
mod streams;
mod terminal;
mod top;
mod update;
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
    Exec(exec::Exec),
    Attach(attach::Attach),
    Logs(logs::Logs),
    Top(top::Top),
    Stats(stats::Stats),
    Wait(wait::Wait),
    Pause(pause::Pause),
    Unpause(pause::Unpause),
    Rename(rename::Rename),
    Update(update::Update),
    Cp(cp::Cp),
    Port(port::Port),
    Events(events::Events),
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
        ContainerCommand::Exec(command) => command.run(context),
        ContainerCommand::Attach(command) => command.run(context),
        ContainerCommand::Logs(command) => command.run(context),
        ContainerCommand::Top(command) => command.run(context),
        ContainerCommand::Stats(command) => command.run(context),
        ContainerCommand::Wait(command) => command.run(context),
        ContainerCommand::Pause(command) => command.run(context),
        ContainerCommand::Unpause(command) => command.run(context),
        ContainerCommand::Rename(command) => command.run(context),
        ContainerCommand::Update(command) => command.run(context),
        ContainerCommand::Cp(command) => command.run(context),
        ContainerCommand::Port(command) => command.run(context),
        ContainerCommand::Events(command) => command.run(context),
        ContainerCommand::Cleanup(command) => command.run(context),
    }
}
