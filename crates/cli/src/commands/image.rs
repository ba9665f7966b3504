//! Commands on images: one file each in `image/`. Those that docker has at
//! the top level stand there too, from the same definition.

mod build;
pub(crate) mod history;
pub(crate) mod inspect;
pub(crate) mod list;
pub(crate) mod load;
pub(crate) mod prune;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod remove;
pub(crate) mod save;
pub(crate) mod tag;
mod verify;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Failure;

/// Commands on images
#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    #[command(name = "ls", visible_alias = "list")]
    List(list::List),
    #[command(name = "rm", visible_alias = "remove")]
    Remove(remove::Remove),
    Pull(pull::Pull),
    Push(push::Push),
    Inspect(inspect::InspectImage),
    History(history::History),
    Tag(tag::Tag),
    Save(save::Save),
    Load(load::Load),
    Prune(prune::Prune),
    Verify(verify::Verify),
    BuildFromRootfs(Box<build::BuildFromRootfs>),
}

/// Runs `command`.
pub(crate) fn dispatch(command: &ImageCommand, context: &Context) -> Result<(), Failure> {
    match command {
        ImageCommand::List(list) => list.run(context),
        ImageCommand::Remove(remove) => remove.run(context),
        ImageCommand::Pull(pull) => pull.run(context),
        ImageCommand::Push(push) => push.run(context),
        ImageCommand::Inspect(inspect) => inspect.run(context),
        ImageCommand::History(history) => history.run(context),
        ImageCommand::Tag(tag) => tag.run(context),
        ImageCommand::Save(save) => save.run(context),
        ImageCommand::Load(load) => load.run(context),
        ImageCommand::Prune(prune) => prune.run(context),
        ImageCommand::Verify(verify) => verify.run(context),
        ImageCommand::BuildFromRootfs(build) => build.run(context),
    }
}

/// The first twelve digits of an id.
pub(crate) fn short(id: &str) -> String {
    let hex = id.split_once(':').map_or(id, |(_, hex)| hex);
    hex.chars().take(12).collect()
}
