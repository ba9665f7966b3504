//! `caisson rename`.

use std::process::ExitCode;

use crate::context::Context;
use crate::failure::Failure;

/// Give a container another name
#[derive(Debug, clap::Args)]
pub(crate) struct Rename {
    /// Name or id
    container: String,
    /// The new name
    name: String,
}

impl Rename {
    pub(crate) fn run(&self, context: &Context) -> Result<ExitCode, Failure> {
        context.engine()?.rename(&self.container, &self.name)?;
        Ok(ExitCode::SUCCESS)
    }
}
