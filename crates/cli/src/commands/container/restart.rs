//! `caisson restart`.

use std::process::ExitCode;

use caisson_node::lifecycle::StartOptions;

use super::stop::StopArgs;
use crate::context::Context;
use crate::failure::{Failure, each};
use crate::output;

/// Stop containers and start them again
#[derive(Debug, clap::Args)]
pub(crate) struct Restart {
    #[command(flatten)]
    stop: StopArgs,
}

impl Restart {
    pub(crate) fn run(&self, context: &Context) -> Result<ExitCode, Failure> {
        let engine = context.engine()?;
        let stop = self.stop.options();
        let start = StartOptions::default();
        each(&self.stop.containers, |name| {
            let id = engine.stop(name, stop)?;
            engine
                .start(&id, &start, |_| Ok(()))
                .map_err(|error| Failure::of_start(error).with_code(1))?;
            output::text(&format!("{name}\n"))
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
