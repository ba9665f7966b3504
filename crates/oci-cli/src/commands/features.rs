//! `features`: what the engine supports, as JSON (runtime-spec, features.md).

use super::Command;
use crate::failure::CliError;
use crate::flags::FlagsEnd;
use crate::invocation::Invocation;
use crate::output;

pub(crate) const COMMAND: Command = Command {
    name: "features",
    summary: "print the supported features as JSON",
    arguments: "",
    details: "The document is that of features.md in the OCI runtime specification.",
    flags: &[],
    end: FlagsEnd::Never,
    counts: (0, Some(0)),
    run: features,
};

fn features(invocation: &Invocation<'_>) -> Result<u8, CliError> {
    let mut text = output::pretty_json(&invocation.isolator()?.features(), "    ")?;
    text.push(b'\n');
    output::stdout(&text)?;
    Ok(0)
}
