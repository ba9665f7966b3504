//! `events`: counters and out-of-memory kills, as JSON lines.

use super::Command;
use crate::failure::CliError;
use crate::flags::{Flag, FlagsEnd, Kind};
use crate::invocation::Invocation;

pub(crate) const COMMAND: Command = Command {
    name: "events",
    summary: "print counters and out-of-memory kills of a container as JSON lines",
    arguments: "<container-id>",
    details: "",
    flags: &[
        Flag::new(
            "interval",
            Kind::Text,
            "time between counters, such as 500ms or 1m30s (default: 5s)",
        ),
        Flag::new("stats", Kind::Switch, "print the counters once and return"),
    ],
    end: FlagsEnd::Never,
    counts: (1, Some(1)),
    run: events,
};

fn events(_: &Invocation<'_>) -> Result<u8, CliError> {
    Err(CliError::Refused("events".to_owned()))
}
