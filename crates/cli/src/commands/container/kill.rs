//! `caisson kill`.

use std::process::ExitCode;

use caisson_node::signals;

use crate::context::Context;
use crate::failure::{Failure, each};
use crate::output;

/// Send a signal to containers
#[derive(Debug, clap::Args)]
pub(crate) struct Kill {
    /// Name or number
    #[arg(short, long, value_name = "SIGNAL", default_value = "KILL", value_parser = signals::parse)]
    signal: i32,
    /// Names or ids
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

impl Kill {
    pub(crate) fn run(&self, context: &Context) -> Result<ExitCode, Failure> {
        let engine = context.engine()?;
        each(&self.containers, |name| {
            engine.kill(name, self.signal)?;
            output::text(&format!("{name}\n"))
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
