//! Commands on the installation as a whole: one file each in `system/`.

mod check;
mod df;
mod info;
mod prune;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Failure;

/// Commands on the installation as a whole
#[derive(Debug, Subcommand)]
pub(crate) enum SystemCommand {
    Info(info::Info),
    Df(df::DiskUsage),
    Check(check::Check),
    Prune(prune::Prune),
}

/// Runs `command`.
pub(crate) fn dispatch(command: &SystemCommand, context: &Context) -> Result<(), Failure> {
    match command {
        SystemCommand::Info(info) => info.run(context),
        SystemCommand::Df(usage) => usage.run(context),
        SystemCommand::Check(check) => check.run(context),
        SystemCommand::Prune(prune) => prune.run(context),
    }
}
