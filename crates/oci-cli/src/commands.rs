//! The commands: one per file, each with its flags, help and action.

mod checkpoint;
mod create;
mod delete;
mod events;
mod exec;
mod features;
mod kill;
mod list;
mod pause;
mod ps;
mod run;
mod spec;
mod start;
mod state;
mod update;

use crate::failure::CliError;
use crate::flags::{Flag, FlagsEnd};
use crate::invocation::Invocation;

/// One command.
pub(crate) struct Command {
    pub(crate) name: &'static str,
    /// One line of help.
    pub(crate) summary: &'static str,
    /// Positional arguments, as help shows them.
    pub(crate) arguments: &'static str,
    /// More help; may be empty.
    pub(crate) details: &'static str,
    pub(crate) flags: &'static [Flag],
    /// Where its flags end.
    pub(crate) end: FlagsEnd,
    /// Least and greatest number of positional arguments.
    pub(crate) counts: (usize, Option<usize>),
    /// Does it; returns the exit code.
    pub(crate) run: fn(&Invocation<'_>) -> Result<u8, CliError>,
}

impl Command {
    /// A command that takes a container's name and nothing else.
    const fn on_container(
        name: &'static str,
        summary: &'static str,
        run: fn(&Invocation<'_>) -> Result<u8, CliError>,
    ) -> Self {
        let (arguments, details, flags) = ("<container-id>", "", &[]);
        Self {
            name,
            summary,
            arguments,
            details,
            flags,
            end: FlagsEnd::Never,
            counts: (1, Some(1)),
            run,
        }
    }
}

/// Every command, in the order of the help text.
pub(crate) const ALL: &[Command] = &[
    checkpoint::CHECKPOINT,
    create::COMMAND,
    delete::COMMAND,
    events::COMMAND,
    exec::COMMAND,
    kill::COMMAND,
    list::COMMAND,
    pause::PAUSE,
    ps::COMMAND,
    checkpoint::RESTORE,
    pause::RESUME,
    run::COMMAND,
    spec::COMMAND,
    start::COMMAND,
    state::COMMAND,
    update::COMMAND,
    features::COMMAND,
];

/// The command of that name.
pub(crate) fn find(name: &str) -> Option<&'static Command> {
    ALL.iter().find(|command| command.name == name)
}

#[cfg(test)]
mod tests;
