//! `caisson stop`.

use std::process::ExitCode;

use caisson_node::lifecycle::StopOptions;
use caisson_node::signals;

use crate::context::Context;
use crate::failure::{Failure, each};
use crate::output;

/// Ask containers to end, and end those that do not
#[derive(Debug, clap::Args)]
pub(crate) struct Stop {
    #[command(flatten)]
    stop: StopArgs,
}

/// How containers are stopped, and which.
#[derive(Debug, clap::Args)]
pub(super) struct StopArgs {
    /// Seconds to wait before SIGKILL; -1 waits for ever
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
    pub(super) containers: Vec<String>,
}

impl StopArgs {
    pub(super) fn options(&self) -> StopOptions {
        StopOptions { timeout: self.time, signal: self.signal }
    }
}

impl Stop {
    pub(crate) fn run(&self, context: &Context) -> Result<ExitCode, Failure> {
        let engine = context.engine()?;
        let options = self.stop.options();
        each(&self.stop.containers, |name| {
            engine.stop(name, options)?;
            output::text(&format!("{name}\n"))
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
