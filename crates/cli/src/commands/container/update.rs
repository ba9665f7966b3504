//! `caisson update`.

use std::process::ExitCode;

use caisson_node::request::RestartPolicy;

use super::options::ResourceOptions;
use crate::context::Context;
use crate::failure::{Failure, each};
use crate::output;

/// Change limits and the restart policy of containers
#[derive(Debug, clap::Args)]
pub(crate) struct Update {
    #[command(flatten)]
    resources: ResourceOptions,
    /// Start it again when it ends: no, always, unless-stopped, on-failure[:N]
    #[arg(long, value_name = "POLICY")]
    restart: Option<RestartPolicy>,
    /// Names or ids
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

impl Update {
    pub(crate) fn run(&self, context: &Context) -> Result<ExitCode, Failure> {
        let engine = context.engine()?;
        each(&self.containers, |name| {
            engine.update(name, &|resources| self.resources.apply(resources), self.restart)?;
            output::text(&format!("{name}\n"))
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
