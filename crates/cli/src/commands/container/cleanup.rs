//! What a supervisor runs when its container has ended.

use std::process::ExitCode;

use crate::context::Context;
use crate::failure::Failure;

/// Put a container that has ended in order
#[derive(Debug, clap::Args)]
pub(crate) struct Cleanup {
    /// Its id
    id: String,
}

impl Cleanup {
    pub(crate) fn run(&self, context: &Context) -> Result<ExitCode, Failure> {
        context.engine()?.settle(&self.id)?;
        Ok(ExitCode::SUCCESS)
    }
}
