//! `caisson rm`.

use std::process::ExitCode;

use caisson_node::lifecycle::{ContainerError, RemoveOptions};
use caisson_node::metadata::MetadataError;

use crate::context::Context;
use crate::failure::{Failure, each};
use crate::output;

/// Remove containers
#[derive(Debug, clap::Args)]
pub(crate) struct Remove {
    /// Also those that run, and do not mind those that are not there
    #[arg(short, long)]
    force: bool,
    /// With the volumes that were made for them alone
    #[arg(short, long)]
    volumes: bool,
    /// All containers
    #[arg(short, long, conflicts_with = "containers")]
    all: bool,
    /// Names or ids
    #[arg(value_name = "CONTAINER", required_unless_present = "all")]
    containers: Vec<String>,
}

impl Remove {
    pub(crate) fn run(&self, context: &Context) -> Result<ExitCode, Failure> {
        let engine = context.engine()?;
        engine.collect();
        let options = RemoveOptions { force: self.force, volumes: self.volumes };
        let names = if self.all {
            engine.containers()?.into_iter().map(|view| view.record.id).collect()
        } else {
            self.containers.clone()
        };
        each(&names, |name| {
            match engine.remove(name, options) {
                Err(ContainerError::Metadata(MetadataError::NotFound(_))) if self.force => {
                    return Ok(());
                }
                other => other?,
            };
            output::text(&format!("{name}\n"))
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
