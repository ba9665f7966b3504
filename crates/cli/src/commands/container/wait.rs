//! `caisson wait`.

use std::process::ExitCode;

use crate::context::Context;
use crate::failure::{Failure, each};
use crate::output;

/// Wait until containers have ended, and print their exit codes
#[derive(Debug, clap::Args)]
pub(crate) struct Wait {
    /// Names or ids
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

impl Wait {
    pub(crate) fn run(&self, context: &Context) -> Result<ExitCode, Failure> {
        let engine = context.engine()?;
        each(&self.containers, |name| {
            let code = engine.wait(name)?;
            output::text(&format!("{code}\n"))
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
