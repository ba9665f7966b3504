//! `caisson pause`, `caisson unpause`.

use std::process::ExitCode;

use crate::context::Context;
use crate::failure::{Failure, each};
use crate::output;

/// Freeze every process of containers
#[derive(Debug, clap::Args)]
pub(crate) struct Pause {
    /// Names or ids
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

/// Let paused containers go on
#[derive(Debug, clap::Args)]
pub(crate) struct Unpause {
    /// Names or ids
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

impl Pause {
    pub(crate) fn run(&self, context: &Context) -> Result<ExitCode, Failure> {
        let engine = context.engine()?;
        each(&self.containers, |name| {
            engine.pause(name)?;
            output::text(&format!("{name}\n"))
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Unpause {
    pub(crate) fn run(&self, context: &Context) -> Result<ExitCode, Failure> {
        let engine = context.engine()?;
        each(&self.containers, |name| {
            engine.unpause(name)?;
            output::text(&format!("{name}\n"))
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
