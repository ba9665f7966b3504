//! Commands on volumes: one file each in `volume/`.

mod create;
pub(crate) mod inspect;
mod list;
pub(crate) mod prune;
mod remove;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Failure;

/// Commands on volumes
#[derive(Debug, Subcommand)]
pub(crate) enum VolumeCommand {
    Create(create::Create),
    #[command(name = "ls", visible_alias = "list")]
    List(list::List),
    Inspect(inspect::InspectVolume),
    #[command(name = "rm", visible_alias = "remove")]
    Remove(remove::Remove),
    Prune(prune::Prune),
}

/// Runs `command`.
pub(crate) fn dispatch(command: &VolumeCommand, context: &Context) -> Result<(), Failure> {
    match command {
        VolumeCommand::Create(create) => create.run(context),
        VolumeCommand::List(list) => list.run(context),
        VolumeCommand::Inspect(inspect) => inspect.run(context),
        VolumeCommand::Remove(remove) => remove.run(context),
        VolumeCommand::Prune(prune) => prune.run(context),
    }
}
