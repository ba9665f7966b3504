//! The commands, one file each.

mod completion;
mod container;
mod handlers;
mod image;
mod inspect;
mod login;
mod manual;
mod pods;
mod serve;
mod system;
mod version;
mod volume;

use std::process::ExitCode;

use clap::Subcommand;

use crate::args::GlobalArgs;
use crate::context::Context;
use crate::failure::Failure;

/// Every command, in the order in which help shows them.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Container(container::ContainerCommand),
    Pull(image::pull::Pull),
    Push(image::push::Push),
    Images(image::list::List),
    Rmi(image::remove::Remove),
    Inspect(inspect::Inspect),
    History(image::history::History),
    Tag(image::tag::Tag),
    Save(image::save::Save),
    Load(image::load::Load),
    Prune(image::prune::Prune),
    Login(login::Login),
    Logout(login::Logout),
    #[command(subcommand)]
    Image(image::ImageCommand),
    #[command(subcommand)]
    Volume(volume::VolumeCommand),
    Handlers(handlers::List),
    #[command(subcommand)]
    System(system::SystemCommand),
    Serve(serve::Serve),
    Pods(pods::Pods),
    Version(version::Version),
    Completion(completion::Completion),
    #[command(hide = true)]
    Man(manual::Manual),
}

/// Runs `command`. The exit code is the container's for those that wait for
/// one, else success.
pub(crate) fn dispatch(command: &Command, global: &GlobalArgs) -> Result<ExitCode, Failure> {
    // Those that look at nothing work whatever the settings hold.
    match command {
        Command::Version(version) => version.run()?,
        Command::Completion(completion) => completion.run()?,
        Command::Logout(logout) => logout.run()?,
        Command::Man(manual) => manual.run()?,
        command => return in_context(command, &Context::new(global)?),
    }
    Ok(ExitCode::SUCCESS)
}

fn in_context(command: &Command, context: &Context) -> Result<ExitCode, Failure> {
    // These ask about the machine as the user sees it.
    if !matches!(
        command,
        Command::System(_) | Command::Login(_) | Command::Serve(_) | Command::Handlers(_)
    ) {
        context.gain_namespace()?;
    }
    match command {
        Command::Container(command) => return container::dispatch(command, context),
        Command::Pull(pull) => pull.run(context)?,
        Command::Push(push) => push.run(context)?,
        Command::Images(list) => list.run(context)?,
        Command::Rmi(remove) => remove.run(context)?,
        Command::Inspect(inspect) => return inspect.run(context),
        Command::History(history) => history.run(context)?,
        Command::Tag(tag) => tag.run(context)?,
        Command::Save(save) => save.run(context)?,
        Command::Load(load) => load.run(context)?,
        Command::Login(login) => login.run(context)?,
        Command::Prune(prune) => prune.run(context)?,
        Command::Image(command) => image::dispatch(command, context)?,
        Command::Volume(command) => volume::dispatch(command, context)?,
        Command::Pods(pods) => pods.run(context)?,
        Command::Serve(serve) => serve.run(context)?,
        Command::Handlers(list) => list.run(context)?,
        Command::System(command) => system::dispatch(command, context)?,
        Command::Logout(_) | Command::Version(_) | Command::Completion(_) | Command::Man(_) => {}
    }
    Ok(ExitCode::SUCCESS)
}
