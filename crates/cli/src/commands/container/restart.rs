//! `caisson restart`.

use std::process::ExitCode;

use caisson_node::lifecycle::{StartOptions, StopOptions};
use caisson_node::signals;

use crate::context::Context;
use crate::failure::{Failure, each};
use crate::output;

/// Stop containers and start them again
#[derive(Debug, clap::Args)]
pub(crate) struct Restart {
    /// Seconds to wait before SIGKILL
    #[arg(
        short,
        long,
        visible_alias = "timeout",
        value_name = "SECONDS",
        allow_hyphen_values = true
    )]
    time: Option<i64>,
    /// Signal to send, in place of the container's own
    #[arg(short, long, value_name = "SIGNAL", value_parser = signals::parse)]
    signal: Option<i32>,
    /// Names or ids
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

impl Restart {
    pub(crate) fn run(&self, context: &Context) -> Result<ExitCode, Failure> {
        let engine = context.engine()?;
        let stop = StopOptions { timeout: self.time, signal: self.signal };
        let start = StartOptions::default();
        each(&self.containers, |name| {
            let id = engine.stop(name, stop)?;
            engine
                .start(&id, &start, |_| Ok(()))
                .map_err(|error| Failure::of_start(error).with_code(1))?;
            output::text(&format!("{name}\n"))
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
