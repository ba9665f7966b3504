//! Commands on containers: one file each in `container/`.
//!
//! A new one: its file `container/<name>.rs` with a `clap::Args` struct and a
//! `run(&self, &Context) -> Result<ExitCode, Failure>`, a variant below, and
//! an arm in [`dispatch`].

use std::process::ExitCode;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Failure;

/// Every command on containers.
#[derive(Debug, Subcommand)]
pub(crate) enum ContainerCommand {}

/// Runs `command`.
pub(crate) fn dispatch(
    command: &ContainerCommand,
    _context: &Context,
) -> Result<ExitCode, Failure> {
    match *command {}
}
